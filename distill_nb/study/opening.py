"""The subcommand open: report pages in the browser of a desktop, and where they are for everybody
else."""

import os
import shlex
import shutil
import sys
import webbrowser
from pathlib import Path

import click

from distill_nb.runtime import paths
from distill_nb.study.command_line import SCALE, command

PAGES = ("eval.html", "train.html", "traces.html")  # of a run or set, the first that is there


@command("open")
@click.argument("run", default="", metavar="[RUN]")
@SCALE
def open_(run: str, scale: str) -> None:
    """Open the report of a scale, or the page of a run, in the desktop's browser.

    RUN is a run's folder, or its name. Without a display it says where the page is.

    \b
    Example: distill-nb open
             distill-nb open pocket_math
             distill-nb open --scale full
    """
    click.echo(show(page_of(run, scale)))


def page_of(name: str, scale: str) -> Path:
    """The page of a run or a set of traces, by its folder or its name in a scale; the page of the
    scale where the name is "". Raises ValueError where there is none yet."""
    folder = paths.runs() / scale
    if not name:
        page = folder / "report" / "index.html"
        if not page.is_file():
            raise ValueError(
                f"{paths.movable(page)} is not there: start a run first (make demo), or name "
                "another --scale."
            )
        return page
    places = [Path(name).absolute(), folder / name, folder / "traces" / name]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise ValueError(
            f"{name}: there is no such folder, and no such run below {paths.movable(folder)}: give "
            "a run's folder, or its name and --scale."
        )
    pages = [found / page for page in (*PAGES, "report/index.html", "index.html")]
    page = next((page for page in pages if page.is_file()), None)
    if page is None:
        raise ValueError(
            f"{name}: {paths.movable(found)} has no page yet: `distill-nb report` writes those of "
            "notebooks that were executed."
        )
    return page


def show(page: Path) -> str:
    """Open a page in the desktop's browser; returns a sentence that says so, or why not, and where
    the page is."""
    if not has_display():
        return f"There is no display here. Open this in a browser:\n{page}\n{page.as_uri()}"
    if not webbrowser.open(page.as_uri()):
        return f"No browser was found. Open this in one:\n{page}\n{page.as_uri()}"
    return f"Opened in the browser: {paths.movable(page)}"


def has_display() -> bool:
    """Whether a browser has somewhere to show a page: Windows and macOS, a Linux desktop, or a
    browser that $BROWSER names."""
    if sys.platform in ("win32", "darwin") or os.environ.get("BROWSER"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def how(folder: Path) -> str:
    """The command that opens the page of a scale, by its folder, as it can be typed here."""
    ours = Path(sys.executable).with_name("distill-nb")
    found = shutil.which("distill-nb")
    program = "distill-nb"
    if ours.is_file() and (found is None or not ours.samefile(found)):
        program = os.path.relpath(ours) if ours.is_relative_to(Path.cwd()) else str(ours)
    if folder.parent != paths.resolve("runs"):  # of another study
        return f"{program} open {shlex.quote(str(folder))}"
    return f"{program} open" + ("" if folder.name == "pocket" else f" --scale {folder.name}")
