"""The subcommands of answers: compare two checkpoints, export a run's answers, import others."""

from pathlib import Path

import click

from distill_nb.analysis import margins
from distill_nb.analysis import pairing as pairs
from distill_nb.evaluation import foreign, imported, inspect_log
from distill_nb.report import compare_page
from distill_nb.runtime import paths
from distill_nb.study import commands
from distill_nb.study.command_line import SCALES, command


@command()
@click.argument("first", metavar="RUN[@STEP]")
@click.argument("second", metavar="RUN[@STEP]")
@click.option("--margin", default=margins.MARGIN, help="Points below which a change is none.")
@click.option("--to", "page", type=click.Path(path_type=Path), help="The page to write.")
def compare(first: str, second: str, margin: float, page: Path | None) -> None:
    """Compare two checkpoints, of one run or of two, on the problems that both answered.

    RUN is a run's folder, or its name; STEP is a step or base, by default the last one.

    \b
    Example: distill-nb compare pocket_math@base pocket_math@20
             distill-nb compare llama8b_math_4k sonnet_math_llama_4k
    """
    pairing = pairs.pair(first, second)
    sides = [(p.run_dir.name, p.step or 0) for p in (pairing.first, pairing.second)]
    name = compare_page.file_name(*sides[0], *sides[1])
    default = pairing.first.run_dir.parent / "report" / name
    written = compare_page.write(pairing, page or default, margin)
    click.echo(f"page: {paths.movable(written)}")


@command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--inspect", is_flag=True, required=True, help="As logs of Inspect.")
@click.option("--to", "into", type=click.Path(path_type=Path), help="Default: RUN/inspect.")
def export(folder: Path, inspect: bool, into: Path | None) -> None:
    """Write a run's answers in another tool's format.

    \b
    Example: distill-nb export runs/pocket/pocket_math --inspect
             inspect view --log-dir runs/pocket/pocket_math/inspect
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
