"""The landing page of a scale: what came out in a sentence and a figure, where each run is, what
was compared with what, and the way to every page."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from pandas import DataFrame

from distill_nb import params
from distill_nb.analysis import comparability, finished, margins, paired, results
from distill_nb.report import (
    accessible,
    accuracy_figure,
    answers_page,
    headline,
    markup,
    run_cards,
    run_folder,
    run_pairs,
    style,
    tables,
)
from distill_nb.report.failures import failures
from distill_nb.report.run_folder import Run, State
from distill_nb.runtime import disk, lock, provenance
from distill_nb.runtime.files import write_json, write_text

log = logging.getLogger(__name__)
# Pages of the report's folder, in the order in which they are named; others follow by their names.
PAGES = {
    "analyze.html": "Analysis of these runs",
    "published.html": "The published study",
    "paper.pdf": "The paper",
}
PLANNED = "planned_runs.json"  # the runs of a study, beside the page: some have no folder yet
WORDS = ("done", "running", "waiting", "stopped", "failed")


def index(scale_dir: Path) -> Path:
    """Write <scale_dir>/report/index.html, and the comparisons that it offers (run_pairs.py).
    Raises ValueError where the folder does not exist."""
    scale_dir = Path(scale_dir).absolute()
    if not scale_dir.is_dir():
        raise ValueError(
            f"{scale_dir} is not a folder: give runs/<scale>, the folder that holds the runs of a "
            "scale."
        )
    records = results.load_records(scale_dir, texts=False)
    run_pairs.make(scale_dir, run_pairs.pairs(records), _margin(scale_dir))
    return _write(scale_dir, records)


def renew(scale_dir: Path, planned: Collection[str] = ()) -> None:
    """Write the page anew at the end of a stage, with the comparisons that are there. What goes
    wrong is logged, and no reason for the stage to fail. planned: the folders of the runs of the
    study that is under way."""
    try:
        scale_dir = Path(scale_dir).absolute()
        if planned:
            write_json(scale_dir / "report" / PLANNED, sorted(planned))
        _write(scale_dir, results.load_records(scale_dir, texts=False))
    except Exception as error:
        if getattr(error, "errno", None) in disk.FULL:
            return  # the stage says so itself
        log.warning(f"The page of all runs in {scale_dir.name} was not written: {error}")


def _write(scale_dir: Path, records: DataFrame) -> Path:
    page = scale_dir / "report" / "index.html"
    write_text(page, html(scale_dir, records))
    return page


def html(scale_dir: Path, records: DataFrame | None = None) -> str:
    """The page of a scale, as a file of its folder `report` has it. records: of the scale, where
    they are at hand (results.load_records)."""
    if records is None:
        records = results.load_records(scale_dir, texts=False)
    page = scale_dir / "report" / "index.html"
    failed = failures(scale_dir)
    done, accuracy = finished.progress(records), results.accuracy_of(records)
    runs = [run_folder.read(folder) for folder in run_folder.runs_of(scale_dir)]
    runs.sort(key=lambda run: (run.is_baseline, run.folder.name))
    states = [run_folder.state(run, done, _failed_stages(run.folder, failed)) for run in runs]
    speeds = run_cards.answering_speeds(records)
    cards = [
        run_cards.card(run, state, accuracy, speeds) | {"pages": _pages_of(run, page)}
        for run, state in zip(runs, states, strict=True)
    ]
    waiting = _planned(scale_dir, {run.folder.name for run in runs})
    changes = paired.paired_changes(records, _margin(scale_dir))
    traces = {run.described["traces"] for run in runs}
    figure = None
    if len(accuracy):
        figure = style.embedded(*accuracy_figure.accuracy_by_step(accuracy))
    text = markup.fill(
        "runs.html.j2",
        scale=scale_dir.name,
        sentence=headline.sentence(changes),
        sizes=_sizes(accuracy),
        counts=_counts(states, waiting),
        waiting=waiting,
        written=_written(states, waiting),
        pages=_pages(page),
        figure=figure,
        cards=cards,
        facts=_table(cards),
        generated=any(name.startswith(params.GENERATOR) for name in traces),
        thinking=any(name.startswith(f"{params.GENERATOR}, thinking") for name in traces),
        comparisons=_comparisons(scale_dir, records),
        failed=_failed(scale_dir, page, failed),
        sets=_sets(scale_dir, page, failed),
        accuracy=_accuracies(accuracy),
        differences=comparability.differences(scale_dir) if len(accuracy) else [],
    )
    return accessible.page(text)


def _margin(scale_dir: Path) -> float:
    """The margin of the analysis that is there, so that both say the same."""
    try:
        said = provenance.if_readable(scale_dir / "report" / "provenance_analyze.json")
        return float(said["parameters"]["margin"])
    except (ValueError, KeyError, TypeError):
        return margins.MARGIN


# ---- runs


def _failed_stages(folder: Path, failed: dict[Path, dict]) -> dict[str, str]:
    """Stage → its error, of one run."""
    return {file.stem: f["error"] for file, f in failed.items() if file.parent == folder}


def _pages_of(run: Run, page: Path) -> list[dict[str, str]]:
    """The pages of a run, and its model card: of the last checkpoint that has one."""
    folder = run.folder
    names = {"train": "training", "eval": "evaluation"}
    if run.is_baseline:
        del names["train"]
    links = [_link(folder / f"{stage}.html", page, name) for stage, name in names.items()]
    cards = sorted(folder.glob("checkpoints/step_*/README.md"))
    more = {folder / answers_page.PAGE: "answers", **{card: "model card" for card in cards[-1:]}}
    return links + [_link(file, page, name) for file, name in more.items() if file.is_file()]


def _table(cards: list[dict]) -> str:
    """The facts of all runs as one table."""
    columns = list(dict.fromkeys(what for card in cards for what, _ in card["facts"]))
    rows = []
    for card in cards:
        facts = dict(card["facts"])
        state = " ".join(filter(None, [card["state"].word, card["state"].where]))
        row = {"run": card["name"], "status": state}
        rows.append(row | {c: facts.get(c, tables.NONE) for c in columns})
    return tables.to_html(DataFrame(rows), "All runs") if rows else ""


def _planned(scale_dir: Path, there: set[str]) -> list[str]:
    """The runs of the study that have no folder yet."""
    try:
        planned = json.loads((scale_dir / "report" / PLANNED).read_text(encoding="utf-8"))
        return [str(name) for name in planned if name not in there]
    except (OSError, ValueError, TypeError):
        return []


def _counts(states: list[State], waiting: list[str]) -> str:
    """`3 runs: 1 done, 2 waiting`."""
    words = [state.word for state in states] + ["waiting"] * len(waiting)
    parts = [f"{words.count(word)} {word}" for word in WORDS if word in words]
    count = f"{len(words)} run{'' if len(words) == 1 else 's'}"
    return f"{count}: {', '.join(parts)}" if parts else count


def _written(states: list[State], waiting: list[str]) -> str:
    """When the page was written, where not everything is done."""
    if not waiting and all(state.word == "done" for state in states):
        return ""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


# ---- what else is on the page


def _pages(page: Path) -> list[dict[str, str]]:
    """The other pages of the report: that of the analysis also where it is not there yet."""
    there = {file.name for file in page.parent.glob("*.html")} - {page.name, *PAGES}
    more = sorted(name for name in there if not name.startswith("compare_"))
    links = [_link(page.parent / n, page, PAGES.get(n, Path(n).stem)) for n in [*PAGES, *more]]
    return [link for link in links if link["href"] or link["file"] == "analyze.html"]


def _comparisons(scale_dir: Path, records: DataFrame) -> list[dict[str, str]]:
    rows = run_pairs.offered(scale_dir, run_pairs.pairs(records))
    return [row._asdict() | {"href": quote(row.file)} for row in rows]


def _sizes(accuracy: DataFrame) -> str:
    """How many problems the benchmarks have, in words; "" where nothing was evaluated."""
    if not len(accuracy):
        return ""
    least, most = int(accuracy["problems"].min()), int(accuracy["problems"].max())
    if least == most:
        return f"A benchmark has {least} problem{'' if least == 1 else 's'}"
    return f"Benchmarks have {least} to {most} problems"


def _accuracies(accuracy: DataFrame) -> str:
    """The accuracies as a table; "" where there are none."""
    if not len(accuracy):
        return ""
    return tables.to_html(results.wide_table(accuracy), "Accuracy by run and step")


def _link(target: Path, page: Path, name: str) -> dict[str, str]:
    """A page by a name, with its address as seen from `page`, or why there is none."""
    link = {"name": name, "file": target.name, "href": "", "why": ""}
    if target.is_file():
        return link | {"href": _address(target, page)}
    stage = target.stem
    record = "provenance.json"
    if stage in run_folder.STAGES:
        record = f"provenance_{stage}.json"
    made = target.with_name(record)
    if target.with_suffix(".ipynb").is_file():
        why = "executed, not rendered"
    elif made.is_file():
        said = provenance.if_readable(made)  # of a set it is written at its end
        done = said.get("finished", bool(said) and stage not in run_folder.STAGES)
        why = f"{'done' if done else 'begun'}, no page"
    else:
        why = "not executed"
    return link | {"why": why}


def _address(target: Path, page: Path) -> str:
    return quote(Path(os.path.relpath(target, page.parent)).as_posix())


def _failed(scale_dir: Path, page: Path, failed: dict[Path, dict]) -> list[dict]:
    """The failures of a scale, each with the address of its page where there is one."""
    found = []
    for notebook, failure in failed.items():
        target = notebook.with_suffix(".html")
        name = notebook.relative_to(scale_dir).with_suffix("").as_posix()
        href = _address(target, page) if target.is_file() else ""
        found.append(failure | {"name": name, "href": href})
    return found


def _sets(scale_dir: Path, page: Path, failed: dict[Path, dict]) -> list[dict]:
    """The sets of training traces of a scale, those that are being made among them."""
    found = []
    for folder in sorted(f for f in scale_dir.glob("traces/*") if f.is_dir()):
        try:
            counts = json.loads((folder / "funnel.json").read_text(encoding="utf-8"))
            sizes = {key: f"{counts[key]:,}" for key in ("kept", "rows")}
            state = "done"
        except (OSError, ValueError, KeyError):
            sizes = {"kept": tables.NONE, "rows": tables.NONE}
            state = "failed" if folder / "traces.ipynb" in failed else "not done"
            state = "running" if lock.at_work(folder) else state
        link = _link(folder / "traces.html", page, "page")
        found.append({"name": folder.name, "page": link, "state": state} | sizes)
    return found
