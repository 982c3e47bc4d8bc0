"""The documentation site: Sphinx with MyST-NB, by `make docs`.

Sphinx reads the repository's Markdown and notebooks, builds without a network, treats warnings as
errors, and checks every link between pages. MkDocs has no reader of notebooks of its own, and
Jupyter Book 2 fetches its themes at build time. Reference pages are written by reference.py from
the package; notebooks come executed, from a run (DISTILL_NB_DOCS_RUN, else the demo's)."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import reference  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

from distill_nb.report import published_pages  # noqa: E402
from distill_nb.runtime import paths  # noqa: E402

project = "distill_nb"
author = "the distill_nb contributors"
copyright = f"2026, {author}"
extensions = ["myst_nb", "sphinx_click", "sphinx_copybutton"]
myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # they come executed
nb_ipywidgets_js: dict = {}  # no scripts from elsewhere: outputs are tables, figures and text
nb_mime_priority_overrides = [("html", "image/svg+xml", 0)]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "distill_nb"
html_static_path: list[str] = []
html_show_sphinx = False
html_copy_source = False

RUN = Path(os.environ.get("DISTILL_NB_DOCS_RUN") or paths.runs() / "pocket" / "pocket_math")


def setup(app: Sphinx) -> None:
    """Write the generated pages before any is read, and the sample report beside them."""
    reference.write(HERE / "reference" / "generated")
    reference.copy_notebooks(RUN, HERE / "notebooks")
    app.connect("build-finished", sample)


def sample(app: Sphinx, error: Exception | None) -> None:
    """Copy the report of the run's scale, to which the first page leads."""
    if error is None:
        published_pages.copy(RUN.parent, Path(app.outdir) / "sample")
