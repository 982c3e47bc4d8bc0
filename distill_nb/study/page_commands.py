"""The subcommands of pages, figures and the paper."""

import sys
from pathlib import Path

import click

from distill_nb.analysis.published import accuracies
from distill_nb.report import latex, notebook_page, published_pages, study_figures
from distill_nb.runtime import paths
from distill_nb.study import commands
from distill_nb.study.command_line import MARGIN, SCALE, SELECT_ON, command


@command()
@click.argument("places", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option(
    "--to", type=click.Path(path_type=Path), help="Copy a scale's pages here, to publish."
)
def report(places: tuple[Path, ...], to: Path | None) -> None:
    """Write pages: of executed notebooks, or the index of a scale (a folder, such as runs/pocket).

    \b
    Example: distill-nb report runs/pocket
             distill-nb report runs/pocket/pocket_math/train.ipynb
             distill-nb report runs/pocket --to build/pages/sample
    """
    for place in map(commands.place, places or [paths.runs() / "pocket"]):
        if place.is_dir() or not place.suffix:
            commands.report_scale(place, with_table=sys.stdout.isatty())
            if to is not None:
                files = published_pages.copy(place, commands.place(to))
                size = sum(file.stat().st_size for file in files) / 2**20
                click.echo(
                    f"{to}: {len(files)} files, {size:.1f} MiB; {to}/index.html is the first."
                )
        else:
            click.echo(str(notebook_page.render(place)))


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
    folder = paths.resolve("paper")
    if not paths.CHECKOUT:
        latex.copy_sources(folder.parent)
    latex.write(folder / "generated", scale, select_on, margin)
    try:
        if not latex.compile_pdf(folder):
            sys.exit(f"paper/generated is written; to build the PDF install {latex.PACKAGES}.")
    except RuntimeError as error:
        sys.exit(str(error))
    click.echo("paper/paper.pdf")
