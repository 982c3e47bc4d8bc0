"""The templates of pages: HTML (Jinja), CSS and JavaScript, files of templates/distill_nb/.

The folder is a template of nbconvert, which makes a notebook's page from conf.json and
index.html.j2. The index page of a scale (runs.html.j2) and the view of flips (flips.html.j2) are
filled in here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).with_name("templates")
NAME = "distill_nb"  # of the template, a folder below FOLDER


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(FOLDER / NAME),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def fill(template: str, **values: object) -> str:
    """The HTML of a template with its values, which are escaped."""
    return _environment().get_template(template).render(values)
