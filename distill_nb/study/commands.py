"""What a command does with parameters and notebooks: read and check the one, execute the other."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import click
import yaml

from distill_nb import params
from distill_nb.analysis import results
from distill_nb.report import failures, index_page, notebook_page
from distill_nb.runtime import disk, paths
from distill_nb.study import doctor as machine
from distill_nb.study import notebooks, online
from distill_nb.traces import params as trace_params

Changes = tuple[tuple[str, str], ...]  # of -p KEY VALUE


def run_params(files: tuple[str, ...], changes: Changes) -> params.Params:
    """The parameters of a run, checked before any kernel starts."""
    return params.validate(params.complete(given(files, changes)), _source(files, changes))


def set_params(files: tuple[str, ...], changes: Changes) -> trace_params.TraceParams:
    """The parameters of a set of traces, checked likewise."""
    values = given(files, changes)
    if values.get("scale") != "full":
        values = trace_params.pocket_values() | values
    return trace_params.validate(values, _source(files, changes))


def given(files: tuple[str, ...], changes: Changes) -> dict:
    """The values of parameter files and of -p, later ones winning."""
    return params.read_files(*map(found, files)) | changed(changes)


def changed(changes: Changes) -> dict:
    """The values of -p. Raises ValueError for what is not YAML."""
    values = {}
    for key, text in changes:
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            where = " ".join(str(error).split())
            raise ValueError(f"-p {key}: {text} is not YAML ({where}): correct it.") from None
    return values


def found(file: str) -> str:
    """A parameter file: from the folder of the command, else from papermill_params/."""
    return str(Path(file).resolve()) if Path(file).is_file() else file


def place(path: Path) -> Path:
    """A file or folder: from the folder of the command if it is there, else from the repository."""
    return path.resolve() if path.exists() else paths.resolve(path)


def _source(files: tuple[str, ...], changes: Changes) -> str:
    """What opens a sentence about a parameter."""
    return ", ".join([*files, *(["-p"] if changes else [])]) or "the pocket run"


def execute(name: str, folder: Path, values: dict) -> None:
    """Execute a notebook into a folder and write its page; a failure ends the command with the
    notebook's one sentence and the place of its page."""
    out = folder / f"{name}.ipynb"
    with disk.room(folder.parent if folder.parent.is_dir() else paths.ROOT):
        folder.mkdir(parents=True, exist_ok=True)
        notebooks.refuse_if_busy(name, folder)
    click.echo(f"{name}: {paths.movable(out)}")
    # Ctrl-C and a closed terminal ask the notebook to end, as SIGTERM does: training saves its
    # state first. The kernel and Papermill have a session of their own, so that the terminal's
    # signals reach only us.
    ends = (signal.SIGINT, signal.SIGHUP)
    before = [signal.signal(number, _ask_to_end) for number in ends]
    try:
        ended = notebooks.execute(name, out, values, shown=True, start_new_session=True)
    finally:
        for number, handler in zip(ends, before, strict=True):
            signal.signal(number, handler)
    if not ended.status:
        click.echo(f"page: {paths.movable(notebook_page.render(out))}")
        return
    page, no_room = notebooks.page_of_failure(out)
    failed = failures.failure(out) if out.is_file() else None
    said = failed["error"] if failed else "\n".join(ended.said[-1:]) or "it said nothing"
    click.echo(f"\n{name} failed. {ended.full or no_room or said}", err=True)
    if page:
        click.echo(f"page: {paths.movable(page)}", err=True)
    sys.exit(1)


def report_scale(folder: Path, with_table: bool = True) -> None:
    """Write the index page of a scale; print the accuracies of its runs and the page's place."""
    page = index_page.index(folder)
    table = results.accuracy_table(folder) if with_table else None
    if table is not None and not table.empty:
        click.echo("\nAccuracy in percent with 95% intervals; step 0 is the base student.")
        click.echo(results.wide_table(table).to_string())
    click.echo(f"\nReport: {page}")


def doctor(files: tuple[str, ...], ask: bool) -> bool:
    """Print what this machine has, or, where sources are asked, what they have; returns whether
    nothing differs there."""
    if ask:
        # to the stdout that is there now
        return online.check(list(map(found, files)), partial(click.echo, file=sys.stdout))
    if files:
        raise ValueError(f"{files[0]}: doctor takes parameter files with --online only.")
    click.echo(machine.table())
    return True


def _ask_to_end(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
