"""What readers of a page by keyboard, by ear or on a phone need of its tables and figures: heads
that say what they head, and a box with a name for what may be too wide, which a key can reach.

Scopes of heads are WCAG technique H63, focusable labelled regions those of
https://www.w3.org/WAI/ARIA/apg/patterns/landmarks/examples/region.html"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bs4 import Tag

SHORT = 26  # characters of a cell that stays on one line


def page(html: str) -> str:
    """The page with its tables and figures made accessible."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    for table in soup.find_all("table"):
        table.attrs.pop("border", None)
        for row in table.find_all("tr"):
            row.attrs.pop("style", None)  # pandas aligns heads to the right and cells to the left
        for head in table.find_all("th"):
            head["scope"] = "col" if head.find_parent("thead") else "row"
        for cell in table.find_all("td"):
            if len(cell.get_text()) <= SHORT:
                cell["class"] = "short"
        table.wrap(soup.new_tag("div", attrs={"class": "wide"} | _region(f"table: {_name(table)}")))
    for figure in soup.select("div.figure"):
        figure.attrs |= _region(f"figure: {_name(figure)}")
    return str(soup)


def _region(label: str) -> dict[str, str]:
    return {"role": "region", "tabindex": "0", "aria-label": label}


def _name(part: Tag) -> str:
    """What a table or figure is about: its caption, the line that unfolds it, or the heading above
    it."""
    fold = part.find_parent("details")
    heading = part.find_previous(["h1", "h2", "h3"])
    title = part.find("caption") or (fold and fold.find("summary")) or heading
    return " ".join(title.get_text().split()) if title else "without a title"
