"""Every number, table and figure of paper/paper.tex, as generated files that it includes.

    python -m distill_nb.report.latex paper/generated [pocket [dev]]      # `make paper` does this, and then builds the PDF

numbers.tex defines one macro a number; tables/ has tables.study and those of our runs. The
published study's numbers come from published/, ours from the records of the scale that is named;
the last word says what chooses our best checkpoints (select_on in run.py)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from distill_nb.analysis import diagnosis, names, paired, results, selection
from distill_nb.analysis.published import accuracies, beside, claims, findings
from distill_nb.analysis.published import grim as consistency
from distill_nb.report import study_tables, tables
from distill_nb.runtime import paths

WORDS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six")


def published_numbers() -> dict[str, str]:
    """Macro → value, of the published study."""
    table, every = accuracies.load_published(), claims.load_claims()
    grim, found = consistency.grim_summary(table), findings.check_all(table)
    n = table.drop_duplicates("benchmark").set_index("benchmark")["n"]
    numbers = {
        "PublishedCells": len(table),
        "PublishedRuns": len(table[table["step"] > 0].groupby(names.RUN)),
        "FlaggedCells": int(table["flagged"].sum()),
        "GrimCanFail": int(grim["can_fail"].sum()),
        "GrimFailed": int(grim["failed"].sum()),
        "Claims": len(every),
        "ClaimsDisagree": len(claims.inconsistencies(every, table)),
        "MathProblems": int(n["math500"]),
        "MbppProblems": int(n["mbpp_plus"]),
    }
    numbers |= {f"Finding{WORDS[f.number]}": f.verdict for f in found}
    verdicts = [f.verdict for f in found]
    numbers |= {"FindingsSupported": verdicts.count("supported"), "Findings": len(found)}
    return {k: str(v) for k, v in numbers.items()}


def our_numbers(scale: str, select_on: str = "test") -> tuple[dict[str, str], dict[str, str]]:
    """(macro → value, table → LaTeX) of our runs of a scale; the macros say so where there are
    none."""
    folder = paths.runs() / scale
    records = results.load_records(folder)
    if records.empty:
        nothing = "No run of this scale had been evaluated when this was built."
        return {
            "OurScale": scale,
            "OurRuns": "0",
            "OurSentence": nothing,
            "OurChanges": "",
            "OurSelection": "",
        }, {}
    table, published = results.accuracy_table(folder), accuracies.load_published()
    compared = beside.sentence(beside.beside(published, results.load_runs(folder)))
    shown = table.assign(cell=[results.score(r) for r in table.itertuples()])
    wide = shown.pivot_table(
        index=["folder", "step"], columns="benchmark", values="cell", aggfunc="first"
    ).fillna("—")
    found = diagnosis.diagnose(records)
    last = found.groupby(["folder", "benchmark"]).tail(1)
    kinds = last[
        [
            "folder",
            "benchmark",
            "step",
            "change",
            "lenient_change",
            "gained",
            "lost",
            "lost_format",
            "kind",
        ]
    ].round(1)
    ours = selection.scored(results.load_runs(folder), records, select_on)
    half = " on the half of the problems that did not choose them" if select_on == "dev" else ""
    captions = (
        f"Our runs of scale {scale}: percent correct with 95% Wilson intervals; step 0 is the base "
        "student.",
        "What the last checkpoint of each of our runs changed, in points and in problems.",
        f"The best checkpoint of each of our runs, percent{half}, with 95% Wilson intervals.",
    )
    made = {
        "ours": tables.to_latex(wide.reset_index(), captions[0], "tab:ours"),
        "ours_kinds": tables.to_latex(
            kinds.rename(columns=lambda c: c.replace("_", " ")), captions[1], "tab:kinds"
        ),
        "ours_best": tables.to_latex(
            study_tables.best(ours, intervals=True), captions[2], "tab:oursbest"
        ),
    }
    changes = paired.change_sentences(paired.paired_changes(records))
    chosen = selection.sentences(selection.selections(records), select_on)
    return {
        "OurScale": scale,
        "OurRuns": str(records["folder"].nunique()),
        "OurSentence": compared,
        "OurChanges": " ".join(changes.splitlines()),
        "OurSelection": " ".join(chosen.splitlines()),
    }, made


def write(folder: Path, scale: str = "pocket", select_on: str = "test") -> list[Path]:
    """Write numbers.tex and tables/ below a folder; returns the files."""
    ours, our_tables = our_numbers(scale, select_on)
    numbers = published_numbers() | ours
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for old in (folder / "tables").glob("*.tex"):
        old.unlink()
    files = [folder / "numbers.tex"]
    files[0].write_text(
        "".join(
            rf"\newcommand{{\{name}}}{{{tables.latex_text(value)}}}" + "\n"
            for name, value in sorted(numbers.items())
        ),
        encoding="utf-8",
    )
    for name, text in (study_tables.study(accuracies.load_published()) | our_tables).items():
        files.append(folder / "tables" / f"{name}.tex")
        # Small enough for the page, and where LaTeX likes.
        text = text.replace(r"\begin{table}", r"\begin{table}[htbp]").replace(
            r"\centering", r"\centering\footnotesize"
        )
        text = text.replace(
            r"\begin{tabular}", r"\begin{adjustbox}{max width=\linewidth}\begin{tabular}"
        )
        text = text.replace(r"\end{tabular}", r"\end{tabular}\end{adjustbox}")
        files[-1].write_text(re.sub(r"\n\n+", "\n", text), encoding="utf-8")
    return files


def build(folder: Path, scale: str, select_on: str = "test") -> bool:
    """The paper with a scale's numbers, as <folder>/latex/paper/paper.tex, and where LaTeX is
    installed <folder>/paper.pdf; returns whether it is. Raises RuntimeError with the log's end
    where LaTeX fails."""
    latex = folder / "latex"
    shutil.rmtree(latex, ignore_errors=True)
    write(latex / "paper" / "generated", scale, select_on)
    shutil.copy(paths.ROOT / "paper" / "paper.tex", latex / "paper")
    shutil.copytree(paths.ROOT / "figures", latex / "figures")
    if shutil.which("latexmk") is None:
        return False
    done = subprocess.run(
        ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-quiet", "paper.tex"],
        cwd=latex / "paper",
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise RuntimeError(
            "latexmk failed on "
            f"{latex / 'paper' / 'paper.tex'}:\n{(done.stdout + done.stderr)[-3000:]}"
        )
    shutil.copy(latex / "paper" / "paper.pdf", folder / "paper.pdf")
    return True
