"""What readers of a page by keyboard, by ear or on a phone need of it: headings that a link can
name and a list of them, heads that say what they head, numbered figures with captions, and a box
with a name for what may be too wide, which a key can reach.

Scopes of heads are WCAG technique H63, focusable labelled regions those of
https://www.w3.org/WAI/ARIA/apg/patterns/landmarks/examples/region.html"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

SHORT = 26  # characters of a cell that stays on one line
# a number, perhaps with a sign, an asterisk, a percent sign, an interval, or nothing
NUMBER = re.compile(r"[-+−]?[\d.,]+(e[-+]?\d+)?[%*]{0,2}( \[[^\]]*\])?|—|nan|")


def page(html: str) -> str:
    """The page with its headings, tables and figures made accessible."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    _contents(soup)
    for table in soup.find_all("table"):
        table.attrs.pop("border", None)
        for row in table.find_all("tr"):
            row.attrs.pop("style", None)  # pandas aligns heads to the right and cells to the left
        for head in table.find_all("th"):
            head["scope"] = "col" if head.find_parent("thead") else "row"
        for cell in table.find_all("td"):
            if len(cell.get_text()) <= SHORT:
                cell["class"] = "short"
        _numbers(table)
        table.wrap(soup.new_tag("div", attrs={"class": "wide"} | _region(f"table: {_name(table)}")))
    for number, figure in enumerate(soup.select("figure.figure"), 1):
        figure.attrs |= _region(f"figure: {_name(figure)}")
        _caption(soup, figure, number)
    return str(soup)


def _contents(soup: BeautifulSoup) -> None:
    """Ids for all headings, links to themselves, and a list of the second and third level."""
    main, taken, listed = soup.find("main"), set(), []
    if main is None:
        return
    for heading in main.find_all(["h1", "h2", "h3"]):
        text = " ".join(heading.get_text().split())
        key = slug = re.sub(r"\W+", "-", text.lower()).strip("-") or "section"
        number = 2
        while key in taken:
            key, number = f"{slug}-{number}", number + 1
        taken.add(key)
        heading["id"] = key
        if heading.name != "h1":
            listed.append((heading.name, key, text))
        link = soup.new_tag("a", href=f"#{key}", attrs={"class": "here", "title": "copy link"})
        link["aria-label"] = f"link to {text}"
        link.string = "#"
        heading.extend([" ", link])
    if len(listed) < 3:
        return
    fold = soup.new_tag("details", attrs={"class": "contents", "open": ""})
    summary, items = soup.new_tag("summary"), soup.new_tag("ol")
    summary.string = "On this page"
    for level, key, text in listed:
        item = soup.new_tag("li", attrs={"class": level})
        link = soup.new_tag("a", href=f"#{key}")
        link.string = text
        item.append(link)
        items.append(item)
    fold.extend([summary, items])
    first = main.find("nav")
    if first is not None:
        first.insert_after(fold)
    else:
        main.insert(0, fold)


def _numbers(table: Tag) -> None:
    """Mark the columns of numbers, which stand at the right: their cells and their head."""
    body, head = table.find("tbody"), table.find("thead")
    rows = (
        [row.find_all(["td", "th"], recursive=False) for row in body.find_all("tr")] if body else []
    )
    if not rows or len({len(row) for row in rows}) > 1 or table.select_one("[colspan]"):
        return
    heads = head.find_all("tr")[-1].find_all("th") if head and head.find("tr") else []
    for i, column in enumerate(zip(*rows, strict=True)):
        texts = [cell.get_text().strip() for cell in column]
        if all(map(NUMBER.fullmatch, texts)) and any(text not in ("", "—") for text in texts):
            for cell in [*column, *heads[i : i + 1]]:
                names = [*cell.get_attribute_list("class"), "number"]
                cell["class"] = " ".join(str(name) for name in names if name)


def _caption(soup: BeautifulSoup, figure: Tag, number: int) -> None:
    """A figure's number and the first sentence of its description."""
    image = figure.find("img")
    words = str((image and image.get("alt")) or "")
    caption = soup.new_tag("figcaption")
    first = re.split(r"(?<=[a-z)%]\.)\s", words, maxsplit=1)[0]
    caption.string = f"Figure {number}. {first}".strip()
    figure.append(caption)


def _region(label: str) -> dict[str, str]:
    return {"role": "region", "tabindex": "0", "aria-label": label}


def _name(part: Tag) -> str:
    """What a table or figure is about: its caption, the line that unfolds it, or the heading above
    it."""
    fold = part.find_parent("details")
    heading = part.find_previous(["h1", "h2", "h3"])
    title = part.find("caption") or (fold and fold.find("summary")) or heading
    text = " ".join(title.get_text().split()) if title else "without a title"
    return text.removesuffix(" #")
