"""What a command does with parameters and notebooks: read and check the one, execute the other."""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from distill_nb import params
from distill_nb.analysis import paired, results
from distill_nb.evaluation import evaluate
from distill_nb.grading import sandbox
from distill_nb.params import names, yaml_text
from distill_nb.report import failures, headline, index_page, notebook_page
from distill_nb.runtime import disk, durations, paths, provenance
from distill_nb.study import doctor as machine
from distill_nb.study import notebooks, online, opening
from distill_nb.traces import params as trace_params

Changes = tuple[tuple[str, str], ...]  # of -p KEY VALUE


def run_params(files: tuple[str, ...], changes: Changes) -> params.Params:
    """The parameters of a run, checked before any kernel starts."""
    values = given(files, changes)
    whole = params.complete(values)
    return params.validate(whole, _source(files, changes, whole.keys() > values.keys()))


def check_sandbox(p: params.Params) -> None:
    """Raises ValueError where a run's benchmarks run code and nothing here may run it: before it is
    trained, and not when its answers are there."""
    if set(p.benchmarks) & set(names.CODE):
        try:
            sandbox.strongest_level(p.allow_unsafe)
        except RuntimeError as error:
            raise ValueError(str(error)) from None


def set_params(files: tuple[str, ...], changes: Changes) -> trace_params.TraceParams:
    """The parameters of a set of traces, checked likewise."""
    values = whole = given(files, changes)
    if values.get("scale") != "full":
        whole = trace_params.pocket_values() | values
    return trace_params.validate(whole, _source(files, changes, whole.keys() > values.keys()))


def given(files: tuple[str, ...], changes: Changes) -> dict:
    """The values of parameter files and of -p, later ones winning."""
    return params.read_files(*map(found, files)) | changed(changes)


def changed(changes: Changes) -> dict:
    """The values of -p, read as a file's are. Raises ValueError as `yaml_text.read`."""
    return {key: yaml_text.read(text, f"-p {key}", key) for key, text in changes}


def found(file: str) -> str:
    """A parameter file: from the folder of the command, else from papermill_params/."""
    return str(Path(file).resolve()) if Path(file).is_file() else file


def place(path: Path) -> Path:
    """A file or folder: from the folder of the command if it is there, else from the repository."""
    return path.resolve() if path.exists() else paths.resolve(path)


def _source(files: tuple[str, ...], changes: Changes, filled: bool) -> str:
    """What opens a sentence about a parameter; filled: keys that are not given are the pocket
    run's."""
    given = ", ".join([*files, *(["-p"] if changes else [])])
    return f"{given} over the pocket run" if given and filled else given or "the pocket run"


def execute(name: str, folder: Path, values: dict) -> None:
    """Execute a notebook into a folder and write its page; a failure ends the command with the
    notebook's one sentence and the place of its page."""
    out = folder / f"{name}.ipynb"
    with disk.room(folder.parent if folder.parent.is_dir() else paths.start()):
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
        _renew_index(name, values["scale"])
        return
    page, no_room = notebooks.page_of_failure(out)
    _renew_index(name, values["scale"])
    failed = failures.failure(out) if out.is_file() else None
    said = failed["error"] if failed else "\n".join(ended.said[-1:]) or "it said nothing"
    click.echo(f"\n{name} failed. {ended.full or no_room or said}", err=True)
    if page:
        click.echo(f"page: {paths.movable(page)}", err=True)
    sys.exit(1)


def _renew_index(name: str, scale: str) -> None:
    """The landing page of the scale, which the analysis is followed by anyway."""
    if name != "analyze":
        index_page.renew(paths.runs() / scale)


def tasks_of_run(run_dir: Path) -> dict:
    """(benchmark, task_id) → Task of a run's evaluation; none of a run that was not evaluated here.
    Raises ValueError where its parameters are none of today's, or a benchmark cannot be loaded."""
    file = run_dir / "provenance_eval.json"
    if not file.is_file():
        return {}
    given = provenance.read(file, "evaluate the run again").get("parameters", {})
    return evaluate.tasks_of(
        params.validate(params.pocket_values() | given, f"{file.name} in {run_dir.name}")
    )


@contextlib.contextmanager
def timed(part: str, took: dict[str, float]) -> Iterator[None]:
    """Note how many seconds a part takes."""
    started = time.monotonic()
    yield
    took[part] = time.monotonic() - started


def report_scale(folder: Path, with_table: bool = True) -> None:
    """Write the index page of a scale; print the accuracies of its runs and the page's place."""
    page = index_page.index(folder)
    table = results.accuracy_table(folder) if with_table else None
    if table is not None and not table.empty:
        click.echo("\nAccuracy in percent with 95% intervals; step 0 is the base student.")
        click.echo(results.wide_table(table).to_string())
    click.echo(f"\nReport: {page}")


def say_what_came_out(
    folder: Path, margin: float, took: dict[str, float], run: str | None = None
) -> None:
    """Print the last lines of a command over a scale: what came out of its runs, or of the run in
    one folder, how long each part took, and how to open the page."""
    records = results.load_records(folder)
    if run is not None and len(records):
        records = records[records["folder"] == run]
    if said := headline.sentence(paired.paired_changes(records, margin)):
        click.echo(f"Result: {said}")
    parts = ", ".join(f"{part} {durations.in_words(seconds)}" for part, seconds in took.items())
    whole = f"; {durations.in_words(sum(took.values()))} in all" if len(took) > 1 else ""
    click.echo(f"Time: {parts}{whole}")
    click.echo(f"To open the report: {opening.how(folder)}")


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


def copy_notebooks(folder: Path) -> Iterator[str]:
    """Copy the package's notebooks to a folder, where a file that is there stays; yields a line for
    each."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted((paths.SHIPPED / "notebooks").glob("*.ipynb")):
        if (folder / file.name).exists():
            yield f"{folder / file.name} is there already and stays as it is"
        else:
            shutil.copyfile(file, folder / file.name)
            yield str(folder / file.name)
