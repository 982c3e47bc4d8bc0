"""The command line: `distill-nb`, also `python -m distill_nb`.

A thin layer: a command reads parameters, executes a notebook by Papermill into its run's folder,
and writes the page; or calls one function of a room and prints what it returns.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path

import click

from distill_nb import params
from distill_nb.analysis import margins
from distill_nb.analysis import pairing as pairs
from distill_nb.analysis.published import accuracies
from distill_nb.evaluation import foreign, imported, inspect_log
from distill_nb.plan import devices
from distill_nb.plan import plan as planning
from distill_nb.report import compare_page, latex, notebook_page, study_figures
from distill_nb.runtime import disk, gpus, log, paths
from distill_nb.study import commands, stage, status, verify
from distill_nb.study.graph import Stage

SCALES = click.Choice(["full", "pocket", "tiny"])
FILES = click.argument("files", nargs=-1, metavar="[FILE]...")
SCALE = click.option(
    "--scale", default="pocket", type=SCALES, help="Whose runs: a folder of runs/."
)
SELECT_ON = click.option(
    "--select-on",
    default="test",
    type=click.Choice(["test", "dev"]),
    help="The best checkpoint by all problems, or by a fixed half of them.",
)
MARGIN = click.option(
    "--margin", default=margins.MARGIN, type=float, help="Points; a smaller change does not matter."
)
PARAMETER = click.option(
    "-p", "changes", nargs=2, multiple=True, metavar="KEY VALUE", help="Set one parameter, in YAML."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="distill_nb")
@click.option("--traceback", is_flag=True, help="Where a command fails, show where in the code.")
def main(traceback: bool) -> None:
    """Distil a teacher's reasoning traces into a small model, and know what that did.

    A FILE is a parameter file: a path, or a name in papermill_params/. Later files win. Without one
    a command does the pocket run, a real 135M student on a CPU.
    """
    log.show()


def command(name: str = "", **options) -> Callable:
    """A subcommand that ends with one sentence where it cannot do what it was asked."""

    def decorate(function: Callable) -> click.Command:
        @wraps(function)
        def quiet(*arguments, **given):
            try:
                return function(*arguments, **given)
            except (ValueError, disk.DiskFull) as error:
                if click.get_current_context().find_root().params["traceback"]:
                    raise
                sys.exit(str(error))

        return main.command(name or function.__name__, **options)(quiet)

    return decorate


# ---- notebooks


@command()
@FILES
@PARAMETER
def run(files: tuple[str, ...], changes: tuple) -> None:
    """Train a run, evaluate it, and analyse its scale.

    A run that was interrupted goes on where it stopped, and what is finished is left alone.

    \b
    Example: distill-nb run run07.yaml
             distill-nb run run07.yaml pocket.yaml -p seed 1
    """
    p = commands.run_params(files, changes)
    for name in ("eval",) if params.is_baseline(p) else ("train", "eval"):
        commands.execute(name, paths.run_dir(p), asdict(p))
    _analyse(p.scale, p.select_on)


@command()
@FILES
@PARAMETER
def train(files: tuple[str, ...], changes: tuple) -> None:
    """Train a run: notebooks/train.ipynb.

    \b
    Example: distill-nb train run07.yaml
             distill-nb train run07.yaml pocket.yaml -p learning_rate 2.0e-4
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
    """Analyse the runs of a scale beside the published study: notebooks/analyze.ipynb.

    \b
    Example: distill-nb analyze --scale full
             distill-nb analyze --select-on dev
    """
    _analyse(scale, select_on, margin)


def _analyse(scale: str, select_on: str, margin: float = margins.MARGIN) -> None:
    """The analysis of a scale, its index page, and the accuracies as text."""
    folder, given = paths.runs() / scale, dict(scale=scale, select_on=select_on, margin=margin)
    commands.execute("analyze", folder / "report", given)
    commands.report_scale(folder)


# ---- pages, figures, paper


@command()
@click.argument("places", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
def report(places: tuple[Path, ...]) -> None:
    """Write pages: of executed notebooks, or the index of a scale (a folder, such as runs/pocket).

    \b
    Example: distill-nb report runs/pocket
             distill-nb report runs/pocket/sonnet_math_llama_4k/train.ipynb
    """
    for place in map(commands.place, places or [paths.runs() / "pocket"]):
        if place.is_dir() or not place.suffix:
            commands.report_scale(place, with_table=sys.stdout.isatty())
        else:
            click.echo(str(notebook_page.render(place)))


@command()
@click.argument("first", metavar="RUN[@STEP]")
@click.argument("second", metavar="RUN[@STEP]")
@click.option("--margin", default=margins.MARGIN, help="Points below which a change is none.")
@click.option("--to", "page", type=click.Path(path_type=Path), help="The page to write.")
def compare(first: str, second: str, margin: float, page: Path | None) -> None:
    """Compare two checkpoints, of one run or of two, on the problems that both answered.

    RUN is a run's folder, or its name; STEP is a step or base, by default the last one.

    \b
    Example: distill-nb compare sonnet_math_llama_4k@base sonnet_math_llama_4k@30
             distill-nb compare llama8b_math_4k sonnet_math_llama_4k
    """
    pairing = pairs.pair(first, second)
    names = "_and_".join(f"{p.run_dir.name}_{p.step}" for p in (pairing.first, pairing.second))
    default = pairing.first.run_dir.parent / "report" / f"compare_{names}.html"
    written = compare_page.write(pairing, page or default, margin)
    click.echo(f"page: {paths.movable(written)}")


@command()
@click.argument("folder", default="figures", type=click.Path(path_type=Path))
def figures(folder: Path) -> None:
    """Write the published study's figures, each as PNG, PDF and CSV.

    \b
    Example: distill-nb figures figures
    """
    for key, figure_and_data in study_figures.study(accuracies.load_published()).items():
        for file in study_figures.save(key, figure_and_data, commands.place(folder)):
            click.echo(str(file))


@command()
@SCALE
@SELECT_ON
@MARGIN
def paper(scale: str, select_on: str, margin: float) -> None:
    """Write the paper's numbers and tables, and paper.pdf where LaTeX is installed.

    \b
    Example: distill-nb paper --scale full
    """
    folder = paths.ROOT / "paper"
    latex.write(folder / "generated", scale, select_on, margin)
    try:
        if not latex.compile_pdf(folder):
            sys.exit(f"paper/generated is written; to build the PDF install {latex.PACKAGES}.")
    except RuntimeError as error:
        sys.exit(str(error))
    click.echo("paper/paper.pdf")


# ---- answers to and from other tools


@command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--inspect", is_flag=True, required=True, help="As logs of Inspect.")
@click.option("--to", "into", type=click.Path(path_type=Path), help="Default: RUN/inspect.")
def export(folder: Path, inspect: bool, into: Path | None) -> None:
    """Write a run's answers in another tool's format.

    \b
    Example: distill-nb export runs/pocket/sonnet_math_llama_4k --inspect
             inspect view --log-dir runs/pocket/sonnet_math_llama_4k/inspect
    """
    found = commands.place(folder)
    files = inspect_log.export(found, commands.tasks_of_run(found), into)
    click.echo(f"{len(files)} logs in {paths.movable(files[0].parent)}")


@command("import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option("--run", "name", required=True, help="The run's name, and its folder's.")
@click.option("--step", default=0, help="Which checkpoint answered; 0 is the base student.")
@click.option("--score", default="", help="The score, or filter, that decides. Default: the first.")
@click.option("--student", default="", help="Default: the model of the first file.")
@click.option("--teacher", default="none", help="Whose traces the run was trained on.")
@click.option("--domain", default="none", type=click.Choice(["math", "code", "none"]))
@click.option("--scale", default="full", type=SCALES, help="The folder of runs/ that it goes to.")
def import_(files: tuple[Path, ...], name: str, step: int, score: str, scale: str, **about) -> None:
    """Read answers made elsewhere: logs of Inspect, samples of lm_eval --log_samples.

    They become the records of a run, which the analysis compares as it does our own.

    \b
    Example: distill-nb import base.eval --run qwen_sft
             distill-nb import tuned.eval --run qwen_sft --step 500
    """
    logs = [log for file in files for log in foreign.read(file, score)]
    about |= {"run_name": name, "student": about["student"] or logs[0].model or "unknown"}
    folder = paths.runs() / scale / name
    imported.store(logs, folder, step, about)
    for read in logs:
        right = sum(record["outcome"] == "correct" for record in read.records)
        click.echo(
            f"{read.file.name}: {read.benchmark}, {right} of {len(read.records)} right by "
            f"{read.score!r}, {read.tool}"
        )
    for text in imported.lacks(folder):
        click.echo(f"They do not say: {text}.")
    click.echo(f"run: {paths.movable(folder)}")


# ---- before and after a run


@command("plan")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--device", default="this", help=f"this, {', '.join(devices.KNOWN)}.")
@PARAMETER
def plan(files: tuple[str, ...], device: str, changes: tuple) -> None:
    """Say what runs will take: memory, tokens, disk, hours, dollars.

    FILEs are runs, overlays for all of them, and sets of traces. The exit status is 1 where a run
    does not fit.

    \b
    Example: distill-nb plan run07.yaml --device h100-80gb
    """
    found = list(map(commands.found, files))
    text, fits = planning.plan_files(found, device, commands.changed(changes))
    click.echo(text)
    sys.exit(0 if fits else 1)


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
    Example: distill-nb verify runs/pocket/sonnet_math_llama_4k
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


# ---- what the Snakefile and the Makefile call


@command("stage", hidden=True)
@click.argument("scale", type=SCALES)
@click.argument("name")
@click.option("--made", default="", help="The hash under which the stage was planned.")
@click.option("--gpus", "n_gpus", default=0, help="How many GPUs it needs.")
@click.option("--overwrite", is_flag=True, help="Start again instead of resuming.")
@click.option("--attempt", default=1, help="A later one goes on with what the first overwrote.")
def stage_(scale: str, name: str, made: str, n_gpus: int, overwrite: bool, attempt: int) -> None:
    """Run one stage of the study, such as llama8b_math_4k/train."""
    if "/" not in name:
        raise ValueError(f"{name}: name a stage by folder and name, as in llama8b_math_4k/train.")
    which = Stage(scale, *name.rsplit("/", 1))
    sys.exit(stage.run(which, made, n_gpus, overwrite, attempt))


@command("report-failed", hidden=True)
@click.argument("scale", type=SCALES)
def report_failed(scale: str) -> None:
    """The analysis and the index of what there is, when a failure kept the study from them."""
    click.echo(str(stage.write_report(scale)))


@command("stamp", hidden=True)
@click.argument("scale", type=SCALES)
@click.argument("name")
def stamp(scale: str, name: str) -> None:
    """The file that says that a stage is done, as the Snakefile names it."""
    stamp = status.stamp_of(scale, name).relative_to(paths.runs())
    click.echo(f"{paths.runs_from_here()}/{stamp.as_posix()}")


@command("gpus", hidden=True)
def gpus_() -> None:
    """How many GPUs this process may use."""
    click.echo(str(len(gpus.visible())))


if __name__ == "__main__":
    main(prog_name="distill-nb")
