"""The subcommands of studies: run one, and begin a new one."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from distill_nb.params import read_files
from distill_nb.runtime import gpus, imports, paths
from distill_nb.runtime.shard import MOST
from distill_nb.study import graph, new, status, study_file
from distill_nb.study.command_line import SCALES, command


@command()
@click.argument("file", default="published")
@click.argument("stages", nargs=-1, metavar="[RUN/STAGE]...")
@click.option("--scale", type=SCALES, help="Default: the study file's, else full.")
@click.option("--dry", is_flag=True, help="Only say what would run.")
@click.option("--profile", help="Where it runs: a folder of profiles/, such as slurm.")
@click.option("--overwrite", default="", metavar="RUN/STAGE", help="Make this anew; several: a,b.")
@click.option(
    "--shards",
    type=click.IntRange(1, MOST),
    help="Jobs for each evaluation and set. Default: the study file's, else 1.",
)
def study(
    file: str,
    stages: tuple[str, ...],
    scale: str | None,
    dry: bool,
    profile: str | None,
    overwrite: str,
    shards: int | None,
) -> None:
    """Run a study: sets of traces, training, evaluation, analysis.

    FILE is a study file, its folder, or the name of one in papermill_params/studies/. With stages,
    such as llama8b_math_4k/train, only these and what they need. What is done is kept; start it
    again after anything that stopped it.

    \b
    Example: distill-nb study my_study/study.yaml --scale tiny
             distill-nb study published --dry
    """
    taken = study_file.use(file)
    graph.forget()
    study_file.check(taken)
    if find_spec("snakemake") is None:
        raise ValueError(
            "A study needs the package snakemake, which is not installed; install it with "
            f"`{imports.install('cluster')}`."
        )
    options = ["--resources", f"gpu={len(gpus.visible())}"]
    if profile:  # it says what a job gets
        options = ["--workflow-profile", str(paths.SHIPPED / "profiles" / profile)]
    options += ["-n"] if dry else []
    anew = overwrite.replace(",", " ").split()
    words = snakemake(scale or taken.scale, list(stages), anew, options, shards or taken.shards)
    os.chdir(paths.start())
    sys.stdout.flush()
    os.execve(sys.executable, words, paths.child_environment())


def snakemake(
    scale: str, stages: list[str], anew: list[str], options: list[str], shards: int = 1
) -> list[str]:
    """The call of Snakemake for stages (as llama8b_math_4k/train; none for the whole study) of the
    current study; `anew` are made again, and `shards` jobs share one evaluation or set. Raises
    ValueError for what is no stage."""
    runs = paths.runs_from_here()
    pages = []
    for name in stages:
        status.stamp_of(scale, name)
        pages.append(f"{runs}/{scale}/{name}.html")
    file = [] if paths.CHECKOUT else ["--snakefile", str(paths.SHIPPED / "Snakefile")]
    words = [sys.executable, "-m", "snakemake", *file, "--config", f"scale={scale}"]
    words += [f"shards={shards}"] if shards > 1 else []
    if anew:
        stamps = [status.stamp_of(scale, name).relative_to(paths.runs()) for name in anew]
        words += [f"overwrite={','.join(anew)}", "--forcerun"]
        words += [f"{runs}/{stamp.as_posix()}" for stamp in stamps]
    return [*words, *options, *(["--", *pages] if pages else [])]


def to_plan(files: list[str]) -> dict[str, dict] | None:
    """Name → parameters of all runs, baselines and sets of a study, at its scale, where the one
    file is a study's; else None. Raises ValueError for a study among other files."""
    studies = [f for f in files if Path(f).is_file() or (paths.PARAMS_DIR / f).is_file()]
    studies = [f for f in studies if "study" in read_files(f)]
    if not studies:
        return None
    if len(files) > 1:
        raise ValueError(f"{studies[0]}: this is a study; plan it alone.")
    taken = study_file.use(paths.PARAMS_DIR / studies[0])
    graph.forget()
    runs = {
        f"{taken.name}: {stage.folder}": graph.parameters(stage)
        for stage in graph.grid(taken.scale)
        if stage.name == "eval"  # each run and baseline has one
    }
    sets = {file: study_file.values_of(file) for file in taken.sets.values()}
    return runs | (sets if taken.scale == "full" else {})


@command("new")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--student", "students", multiple=True, required=True, help="A hub id or a folder.")
@click.option(
    "--traces", multiple=True, required=True, help="A .jsonl or .parquet file, or a set: r1_math."
)
@click.option("--domain", default="math", type=click.Choice(["math", "code"]), help="Of files.")
@click.option("--teacher", help="Whose traces the files have. Default: each file's own name.")
@click.option("--chat-template", default="auto", help="llama3, qwen3, smollm2; auto: by its name.")
def new_(folder: Path, students: tuple, traces: tuple, domain: str, **about) -> None:
    """Begin a study: write a folder with a study file, run files and sets, and say what is next.

    One run for each student and each set or file of traces, and a baseline for each student.

    \b
    Example: distill-nb new my_study --student Qwen/Qwen3-30B-A3B-Base --traces my_traces.jsonl
             distill-nb new my_study --student my_model/ --chat-template qwen3 --traces r1_math
    """
    file = new.write(folder, list(students), list(traces), domain, **about)
    click.echo(new.next_steps(file))
