"""The subcommands publish and archive."""

import os
from pathlib import Path

import click

from distill_nb.runtime import paths
from distill_nb.study import commands, study_file
from distill_nb.study.command_line import SCALES, command
from distill_nb.study.publishing import archive as crates
from distill_nb.study.publishing import archive_licences, of_run, of_set, upload
from distill_nb.study.publishing import publication as publications
from distill_nb.study.publishing.licences import Answers

LICENCE = click.option(
    "--licence", "--license", default="", metavar="ID", help="The licence that you publish under."
)
LICENCE_NAME = click.option("--licence-name", default="", help="Its name, where ID is other.")
LICENCE_LINK = click.option("--licence-link", default="", help="Its text, where ID is other.")


@command()
@click.argument("run", default="", metavar="[RUN]")
@click.option("--set", "dataset", default="", help="A set of traces instead of a run.")
@click.option("--scale", default="full", type=SCALES, help="The folder of runs/ with the set.")
@click.option("--to", required=True, metavar="ORG/NAME", help="The repository on the hub.")
@LICENCE
@LICENCE_NAME
@LICENCE_LINK
@click.option("--licence-file", type=click.Path(path_type=Path), help="Its text, to go along.")
@click.option("--base-model", default="", metavar="ID", help="Where the student is a folder.")
@click.option("--base-licence", default="", metavar="ID", help="The base model's licence.")
@click.option("--data-licence", default="", metavar="ID", help="The licence of the data's source.")
@click.option(
    "--teacher-terms-checked",
    is_flag=True,
    help="You read the teacher's licence and terms, and they allow this.",
)
@click.option("--main", default=0, metavar="STEP", help="What main is; default: the last step.")
@click.option("--unfinished", is_flag=True, help="Though not all is evaluated; the card says so.")
@click.option("--private", is_flag=True, help="A repository that only you see.")
@click.option("--yes", is_flag=True, help="Send it. Without this nothing leaves the machine.")
def publish(
    run: str,
    dataset: str,
    scale: str,
    to: str,
    main: int,
    unfinished: bool,
    private: bool,
    yes: bool,
    **answered,
) -> None:
    """Publish a run's checkpoints, or a set of traces, on the Hugging Face hub.

    A run gets one branch a checkpoint, with card, scores, proof and provenance. Without --yes it
    only says what would go where, and what you have to answer first. What is there already isn't
    sent again.

    \b
    Example: distill-nb publish llama8b_math_4k --to org/Llama-3.1-8B-r1-math
             distill-nb publish --set r1_math --to org/r1-math --licence cc-by-4.0
    """
    if bool(run) == bool(dataset):
        raise ValueError("publish takes a RUN, or a set with --set NAME: name one of the two.")
    answers = Answers(**answered)
    if dataset:
        what = of_set.publication(dataset, scale, to, answers)
    else:
        what = of_run.publication(run, to, answers, main, unfinished)
    click.echo(publications.table(what))
    for note in what.notes:
        click.echo(f"Note: {note}.")
    if what.questions:
        said = asked(what.questions)
        if yes:
            raise ValueError(f"Nothing was sent; answer first:{said}")
        click.echo(f"\nTo be answered before anything is sent:{said}")
    if not yes:
        click.echo("\nThis was a dry run: nothing was sent. --yes sends it.")
        return
    click.echo("")
    click.echo(f"published: {upload.send(what, private, click.echo)}")


@command()
@click.argument("study", required=False, type=click.Path(path_type=Path), metavar="[STUDY]")
@click.option("--scale", default="full", type=SCALES, help="Whose runs, where no STUDY is named.")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="A .zip, or a folder.")
@LICENCE
@LICENCE_NAME
@LICENCE_LINK
@click.option("--licence-of", multiple=True, metavar="NAME=ID", help="Of a base model, or data.")
@click.option(
    "--author", "authors", multiple=True, help="A name, perhaps with https://orcid.org/…."
)
@click.option("--no-weights", is_flag=True, help="Leave the adapters' weights out.")
@click.option("--no-traces", is_flag=True, help="Leave traces and a teacher's answers out.")
def archive(
    study: Path | None,
    scale: str,
    to: Path,
    licence_of: tuple[str, ...],
    authors: tuple[str, ...],
    no_weights: bool,
    no_traces: bool,
    **answered,
) -> None:
    """Write a whole study as an RO-Crate, for an archive such as Zenodo.

    STUDY is its folder, by default that of a scale, of the study that --study names before the
    command. The crate has parameters, provenance, records,
    adapters, pages and report, each file with its sha256, and says what made it from what.

    \b
    Example: distill-nb archive --scale full --to study.zip --licence cc-by-4.0
             distill-nb archive runs/pocket --to pocket.zip --licence mit --no-weights
             distill-nb --study my_study archive --to my_study.zip --licence mit
    """
    folder = commands.place(study) if study else paths.runs() / scale
    if not folder.is_dir():
        raise ValueError(f"{study or scale}: there is no such study, {paths.movable(folder)}.")
    licensed = archive_licences.Licensed(
        Answers(**answered), archive_licences.read_given(licence_of)
    )
    if questions := licensed.find(folder):
        raise ValueError(f"Nothing was written; answer first:{asked(questions)}")
    named = os.environ.get(study_file.VARIABLE) and not study  # else the folder is of any study
    file = study_file.current().file if named else None
    out = to.absolute()
    n = crates.write(
        folder,
        out,
        licensed,
        authors,
        weights=not no_weights,
        traces=not no_traces,
        study_file=file,
    )
    click.echo(f"{n} files, {publications.shown_size(_size(out))}: {paths.movable(out)}")


def asked(questions: list[str]) -> str:
    """Questions at the end of a line, or as a list below it."""
    return f" {questions[0]}" if len(questions) == 1 else "".join(f"\n- {q}" for q in questions)


def _size(out: Path) -> int:
    if out.is_file():
        return out.stat().st_size
    return sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
