"""The templates of pages: HTML (Jinja), CSS and JavaScript, files of templates/distill_nb/.

The folder is a template of nbconvert, which makes a notebook's page from conf.json and
index.html.j2. The index page of a scale (runs.html.j2), the view of flips (flips.html.j2) and the
model card (model_card.md.j2) and the page of all answers (answers.html.j2) are filled in here.

vendor/ has what the page of answers brings along, as their authors publish it, with their licences:
KaTeX 0.19.1 (MIT, https://katex.org), which sets formulas, and highlight.js 11.12.0 (BSD-3-Clause,
https://highlightjs.org), which colours code."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).with_name("templates")
NAME = "distill_nb"  # of the template, a folder below FOLDER


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(FOLDER / NAME),
        autoescape=lambda name: bool(name and name.endswith(".html.j2")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )


def fill(template: str, **values: object) -> str:
    """The text of a template with its values, which are escaped where it is HTML."""
    return _environment().get_template(template).render(values)


def svg_uri(svg: str) -> str:
    """A figure as the address of an image, for an attribute in double quotes: percent-encoded,
    which is shorter than base64."""
    text = re.sub(r"\s+", " ", svg.replace("'", "&apos;")).replace('"', "'")
    return "data:image/svg+xml;charset=utf-8," + quote(text, safe=" !$'()*+,-./:;=?@[]_~")


@cache
def vendored(name: str) -> str:
    """A script of vendor/, to stand in a page's <script>."""
    return (FOLDER / "vendor" / name).read_text(encoding="utf-8")
