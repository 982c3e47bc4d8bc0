"""The paper: every number, table and figure of paper/ as generated files that it includes.

numbers.tex defines one macro a number (paper_numbers.py); tables/ has those of study_tables.py and
paper_tables.py, and of our runs. The published study's numbers come from analysis/published/, those
of simulations from bench/results/, ours from the records of a scale;
`select_on` says what chooses our best checkpoints, `margin` what matters (analysis/params.py)."""

import re
import shutil
import subprocess
from pathlib import Path

from pandas import DataFrame

from distill_nb.analysis import (
    change_parts,
    change_words,
    diagnosis,
    margins,
    paired,
    results,
    selection,
    tidy,
)
from distill_nb.analysis.published import accuracies, findings, reproduction
from distill_nb.report import paper_numbers, paper_tables, study_tables, tables
from distill_nb.runtime import paths

# What the paper needs of Debian and Ubuntu; the Makefile installs the same for the tests.
PACKAGES = (
    "LaTeX (apt-get install latexmk texlive-latex-recommended texlive-latex-extra "
    "texlive-fonts-recommended lmodern)"
)


def our_numbers(
    scale: str, select_on: str = "test", margin: float = margins.MARGIN
) -> tuple[dict[str, str], dict[str, str]]:
    """(macro → value, table → LaTeX) of our runs of a scale; the macros say so where there are
    none."""
    folder = paths.runs() / scale
    records = results.load_records(folder)
    if records.empty:
        return {
            "OurScale": scale,
            "OurRuns": "0",
            "OurSentence": "No run of this scale had been evaluated when this was built.",
            "OurChanges": "",
            "OurSelection": "",
        }, {}
    runs, published = tidy.load_runs(folder), accuracies.load_published()
    changes = paired.change_sentences(paired.paired_changes(records, margin), margin)
    chosen = selection.sentences(records, select_on)
    compared = reproduction.compare(published, runs, margin)
    return {
        "OurScale": scale,
        "OurRuns": str(records["folder"].nunique()),
        "OurSentence": reproduction.sentence(compared, margin),
        "OurChanges": " ".join(changes.splitlines()),
        "OurSelection": " ".join(chosen.splitlines()),
    }, _our_tables(scale, records, selection.rescored(runs, records, select_on), select_on)


def _our_tables(scale: str, records: DataFrame, runs: DataFrame, select_on: str) -> dict[str, str]:
    """Table → LaTeX. runs: the tidy table by selection.rescored."""
    table = results.accuracy_of(records)
    cells = table.assign(cell=[results.score(r) for r in table.itertuples()])
    rows = ["folder", "step"]
    wide = cells.pivot_table(index=rows, columns="benchmark", values="cell", aggfunc="first")
    wide = wide.fillna(tables.NONE).reset_index()
    split = change_parts.parts(records)
    kinds = change_words.for_reading(diagnosis.diagnose(records, split=split), split)
    kinds = kinds.fillna(tables.NONE)
    half = " on the half of the problems that did not choose them" if select_on == "dev" else ""
    ours = (
        f"Our runs of scale {scale}: percent correct with 95% Wilson intervals; step 0 is the base "
        "student."
    )
    changed = (
        "What the last checkpoint of each of our runs changed, in points, split by what became of "
        "the answers that are not correct at one of the two, with 95% intervals of the parts."
    )
    best = f"The best checkpoint of each of our runs, percent{half}, with 95% Wilson intervals."
    return {
        "ours": tables.to_latex(wide, ours, "tab:ours"),
        "ours_kinds": tables.to_latex(kinds, changed, "tab:kinds"),
        "ours_best": tables.to_latex(study_tables.best(runs, intervals=True), best, "tab:oursbest"),
    }


def write(
    folder: Path, scale: str = "pocket", select_on: str = "test", margin: float = margins.MARGIN
) -> list[Path]:
    """Write numbers.tex and tables/ below a folder; returns the files."""
    ours, our_tables = our_numbers(scale, select_on, margin)
    table = accuracies.load_published()
    found = findings.check_all(table)
    numbers = paper_numbers.published(table, found) | ours
    made = study_tables.study(table) | paper_tables.made(table, found) | our_tables
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for old in (folder / "tables").glob("*.tex"):
        old.unlink()
    files = [folder / "numbers.tex"]
    macros = [
        rf"\newcommand{{\{name}}}{{{tables.latex_text(value)}}}"
        for name, value in sorted(numbers.items())
    ]
    files[0].write_text("\n".join([*macros, ""]), encoding="utf-8")
    for name, text in made.items():
        files.append(folder / "tables" / f"{name}.tex")
        files[-1].write_text(_fitted(text), encoding="utf-8")
    return files


def _fitted(table: str) -> str:
    """A table small enough for the page, and where LaTeX likes to have it."""
    for old, new in (
        (r"\begin{table}", r"\begin{table}[htbp]"),
        (r"\centering", r"\centering\footnotesize"),
        (r"\begin{tabular}", r"\begin{adjustbox}{max width=\linewidth}\begin{tabular}"),
        (r"\end{tabular}", r"\end{tabular}\end{adjustbox}"),
    ):
        table = table.replace(old, new)
    return re.sub(r"\n\n+", "\n", table)


def build(folder: Path, scale: str, select_on: str = "test") -> bool:
    """The paper with a scale's numbers, as <folder>/latex/paper/paper.tex, and where LaTeX is
    installed <folder>/paper.pdf; returns whether it is. Raises RuntimeError as `compile_pdf`."""
    latex = folder / "latex"
    shutil.rmtree(latex, ignore_errors=True)
    write(latex / "paper" / "generated", scale, select_on)
    copy_sources(latex)
    if not compile_pdf(latex / "paper"):
        return False
    shutil.copy(latex / "paper" / "paper.pdf", folder / "paper.pdf")
    return True


def copy_sources(folder: Path) -> None:
    """Copy what the paper is built from, but for generated files, to paper/ and figures/ there."""
    paper = paths.SHIPPED / "paper"
    (folder / "paper").mkdir(parents=True, exist_ok=True)
    for name in ("paper.tex", "references.bib"):
        shutil.copy(paper / name, folder / "paper")
    for source, to in (
        (paper / "sections", "paper/sections"),
        (paths.SHIPPED / "figures", "figures"),
    ):
        shutil.copytree(source, folder / to, dirs_exist_ok=True)


def compile_pdf(folder: Path) -> bool:
    """Make paper.pdf of paper.tex where LaTeX is installed; returns whether it is. Raises
    RuntimeError with the log's end where LaTeX fails."""
    if shutil.which("latexmk") is None:
        return False
    done = subprocess.run(
        ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-quiet", "paper.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        log = folder / "paper.log"
        text = log.read_text(errors="replace") if log.is_file() else done.stdout + done.stderr
        said = "\n".join(re.findall(r"^!.*(?:\n.*){0,4}", text, re.MULTILINE)) or text[-3000:]
        raise RuntimeError(f"latexmk failed on {paths.movable(folder / 'paper.tex')}:\n{said}")
    return True
