"""The command line: `distill-nb`, also `python -m distill_nb`.

A thin layer: a command reads parameters, executes a notebook by Papermill into its run's folder,
and writes the page; or calls one function of a room and prints what it returns.
"""

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from distill_nb import params
from distill_nb.analysis import margins, results
from distill_nb.plan import devices
from distill_nb.plan import plan as planning
from distill_nb.report import sample_size_tables
from distill_nb.runtime import paths
from distill_nb.study import (
    answer_commands,
    commands,
    opening,
    page_commands,
    stage_commands,
    stamps,
    status,
    study_commands,
    verify,
)
from distill_nb.study.command_line import (
    FILES,
    MARGIN,
    PARAMETER,
    SCALE,
    SCALES,
    SELECT_ON,
    command,
    main,
)
from distill_nb.study.graph import Stage
from distill_nb.study.publishing import commands as publishing_commands

# with subcommands of their own
__all__ = [
    "answer_commands", "main", "opening", "page_commands", "publishing_commands",
    "stage_commands", "study_commands",
]  # fmt: skip

# ---- notebooks


@command()
@FILES
@PARAMETER
def run(files: tuple[str, ...], changes: tuple) -> None:
    """Train a run, evaluate it, and analyse its scale.

    A run that was interrupted goes on where it stopped, and what is finished is left alone.

    \b
    Example: distill-nb run run07.yaml
             distill-nb run pocket_code.yaml -p seed 1
    """
    p = commands.run_params(files, changes)
    commands.check_sandbox(p)
    took: dict[str, float] = {}
    for name in ("eval",) if params.is_baseline(p) else ("train", "eval"):
        with commands.timed(name, took):
            commands.execute(name, paths.run_dir(p), asdict(p))
    _analyse(p.scale, p.select_on, margins.MARGIN, took, paths.run_dir(p).name)


@command()
@click.option("--unsafe", is_flag=True, help="Run model-written code without a sandbox.")
@click.pass_context
def demo(context: click.Context, unsafe: bool) -> None:
    """Distil a real student of 135M parameters on this machine's CPU, in minutes.

    It is the run pocket_math.yaml. What is made lies in runs/.

    \b
    Example: distill-nb demo
    """
    changes = (("allow_unsafe", "true"),) if unsafe else ()
    context.invoke(run, files=("pocket_math.yaml",), changes=changes)


@command()
@click.argument("folder", type=click.Path(path_type=Path), default="notebooks")
def notebooks(folder: Path) -> None:
    """Copy the notebooks to a folder, to open and to edit them.

    Files that are there already stay as they are.

    \b
    Example: distill-nb notebooks my_notebooks
    """
    for line in commands.copy_notebooks(folder):
        click.echo(line)


@command()
@FILES
@PARAMETER
def train(files: tuple[str, ...], changes: tuple) -> None:
    """Train a run: notebooks/train.ipynb.

    \b
    Example: distill-nb train run07.yaml
             distill-nb train pocket_math.yaml -p run_name slower -p learning_rate 2.0e-4
    """
    p = commands.run_params(files, changes)
    commands.execute("train", paths.run_dir(p), asdict(p))


@command("eval")
@FILES
@PARAMETER
def evaluate(files: tuple[str, ...], changes: tuple) -> None:
    """Evaluate a run's student and checkpoints: notebooks/eval.ipynb.

    \b
    Example: distill-nb eval run07.yaml
             distill-nb eval baseline_llama.yaml -p benchmarks "[math500]"
    """
    p = commands.run_params(files, changes)
    commands.execute("eval", paths.run_dir(p), asdict(p))


@command()
@FILES
@PARAMETER
def traces(files: tuple[str, ...], changes: tuple) -> None:
    """Make a set of traces to train on: notebooks/traces.ipynb.

    \b
    Example: distill-nb traces traces_r1_math.yaml
             distill-nb traces traces_sonnet_math.yaml -p max_cost 50.0
    """
    p = commands.set_params(files, changes)
    commands.execute("traces", paths.runs() / p.scale / "traces" / p.dataset, asdict(p))


@command()
@SCALE
@SELECT_ON
@MARGIN
def analyze(scale: str, select_on: str, margin: float) -> None:
    """Analyse the runs of a scale: notebooks/analyze.ipynb, beside it published.ipynb.

    The second is the published study, recomputed from its numbers: it needs no run.

    \b
    Example: distill-nb analyze --scale full
             distill-nb analyze --select-on dev
    """
    _analyse(scale, select_on, margin, {})


def _analyse(
    scale: str, select_on: str, margin: float, took: dict[str, float], run: str | None = None
) -> None:
    """The published study, the analysis of a scale, its index page, and what came out as text.
    took: seconds of what went before; run: the folder of the run that was made."""
    folder, given = paths.runs() / scale, dict(scale=scale, select_on=select_on, margin=margin)
    _published_study(given, took)
    with commands.timed("analyze", took):
        commands.execute("analyze", folder / "report", given)
    commands.report_scale(folder)
    commands.say_what_came_out(folder, margin, took, run)


def _published_study(given: dict, took: dict[str, float]) -> None:
    """The page of the published study, unless it is there as it would be made now."""
    stage = Stage(given["scale"], "report", "published")
    as_staged = given["margin"] == margins.MARGIN  # a stage's; another margin makes another page
    if as_staged and stamps.is_done(stage) and (stage.dir() / "published.html").is_file():
        return
    with commands.timed("published", took):
        stamps.remove_stamps_from(stage)
        commands.execute("published", stage.dir(), given)
        if as_staged:
            stamps.write_stamp(stage)


# ---- before and after a run


@command("plan")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--device", default="this", help=f"this, {', '.join(devices.KNOWN)}.")
@PARAMETER
def plan(files: tuple[str, ...], device: str, changes: tuple) -> None:
    """Say what runs will take: memory, tokens, disk, hours, dollars.

    FILEs are runs, overlays for all of them, and sets of traces, or one study. The exit status is 1
    where a run does not fit.

    \b
    Example: distill-nb plan run07.yaml --device h100-80gb
             distill-nb plan studies/rate_and_rank.yaml --device h100-80gb
    """
    found = list(map(commands.found, files))
    planned = study_commands.to_plan(found)
    if planned is None:
        text, fits = planning.plan_files(found, device, commands.changed(changes))
    else:
        text, fits = planning.plan_all(planned, device, commands.changed(changes))
    click.echo(text)
    sys.exit(0 if fits else 1)


@command()
@SCALE
@click.option("--problems", default=500, type=click.IntRange(2), help="Where no records say.")
def need(scale: str, problems: int) -> None:
    """Say how many problems, samples and seeds a new study would need.

    For a difference of 2, 3 or 5 points, found four times in five at the 5% level. How much answers
    and seeds vary is taken from the records of a scale, else assumed.

    \b
    Example: distill-nb need --scale full
             distill-nb need --problems 164
    """
    click.echo(sample_size_tables.text(results.load_records(paths.runs() / scale), problems))


@command("status")
@click.argument("scale", default="full", type=SCALES)
def status_(scale: str) -> None:
    """Say what of the study is done, what would run, and why.

    \b
    Example: distill-nb status tiny
    """
    for which, said in status.stages(scale):
        click.echo(f"{which!s:<44} {said}")


@command("verify")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--into", type=click.Path(path_type=Path), help="Keep the repetition in this folder.")
def verify_(folder: Path | None, into: Path | None) -> None:
    """Run a finished run again, and compare. Without a folder: the pocket run of make demo.

    \b
    Example: distill-nb verify runs/pocket/pocket_math
    """
    run_dir = commands.place(folder) if folder else paths.run_dir(params.pocket())
    with tempfile.TemporaryDirectory() as temporary:
        found = verify.verify(run_dir, into.resolve() if into else Path(temporary))
    click.echo(verify.report(*found))
    sys.exit(any(c.differs for c in found[0]))


@command()
@FILES
@click.option("--online", is_flag=True, help="Ask the hub and the APIs instead.")
def doctor(files: tuple[str, ...], online: bool) -> None:
    """Say what this machine has of what a study needs, and what each lack costs.

    With --online: what the sources of FILEs, or of the whole study, have, and what differs from
    what the code expects. It takes less than five minutes, downloads at most 200 MB, and sends each
    API one request, after saying what that costs. The exit status is 1 where anything differs.

    \b
    Example: distill-nb doctor
             distill-nb doctor --online
             distill-nb doctor --online run07.yaml traces_r1_math.yaml
    """
    sys.exit(0 if commands.doctor(files, online) else 1)


if __name__ == "__main__":
    main(prog_name="distill-nb")
