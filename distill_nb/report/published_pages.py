"""The pages of a scale as a folder that a web server can hand out, without anything else of its
runs."""

import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from distill_nb.report import answers_page


class _Links(HTMLParser):
    """The values of href and src."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src") and value]


def copy(scale_folder: Path, to: Path) -> list[Path]:
    """Copy the report of a scale and all that its pages lead to; returns the copied files. `to` is
    made anew. Raises ValueError where there is no report, or a link leads to nothing."""
    first = scale_folder / "report" / "index.html"
    if not first.is_file():
        raise ValueError(f"{first}: there is no report yet; start a run first (make demo).")
    shutil.rmtree(to, ignore_errors=True)
    left, copied = [first.resolve()], {}
    while left:
        file = left.pop()
        if file in copied:
            continue
        place = to / file.relative_to(scale_folder.resolve())
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
        copied[file] = place
        if file.suffix == ".html":
            left += _linked(file, scale_folder.resolve())
    (to / "index.html").write_text(
        '<!doctype html><meta charset="utf-8"><title>Report</title>'
        '<meta http-equiv="refresh" content="0; url=report/index.html">'
        '<p><a href="report/index.html">Report</a></p>\n',
        encoding="utf-8",
    )
    return list(copied.values())


def _linked(page: Path, inside: Path) -> Iterator[Path]:
    """The files that a page names, and the scripts of a page of answers. Raises ValueError for one
    that is missing, or lies outside."""
    links = _Links()
    links.feed(page.read_text(encoding="utf-8"))
    for link in links.found:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or not parts.path:
            continue
        file = (page.parent / unquote(parts.path)).resolve()
        if not file.is_file() or not file.is_relative_to(inside):
            raise ValueError(
                f"{page.name}: its link {link} leads to no file of this scale; write the page anew "
                "(distill-nb report)."
            )
        yield file
    if page.name == answers_page.PAGE:
        yield from sorted((page.parent / answers_page.FOLDER).resolve().glob("*.js"))
        if (runs := inside / "report" / answers_page.RUNS).is_file():
            yield runs
