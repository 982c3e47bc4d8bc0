"""The index page of a scale: its runs with their pages, sets of traces, failures and accuracies."""

import json
import os
from pathlib import Path
from urllib.parse import quote

from distill_nb import params
from distill_nb.analysis import comparability, results
from distill_nb.evaluation import imported
from distill_nb.report import accessible, answers_page, markup, tables
from distill_nb.report.failures import failures
from distill_nb.report.notebook_page import is_run
from distill_nb.runtime import provenance
from distill_nb.runtime.files import write_text


def index(scale_dir: Path) -> Path:
    """Write <scale_dir>/report/index.html. Raises ValueError where the folder does not exist."""
    scale_dir = Path(scale_dir).absolute()
    if not scale_dir.is_dir():
        raise ValueError(
            f"{scale_dir} is not a folder: give runs/<scale>, the folder that holds the runs of a "
            "scale."
        )
    page = scale_dir / "report" / "index.html"
    write_text(page, html(scale_dir))
    return page


def html(scale_dir: Path) -> str:
    """The page of a scale, as a file of its folder `report` has it."""
    page = scale_dir / "report" / "index.html"
    runs = [
        _run(folder, page)
        for folder in sorted(scale_dir.iterdir())
        if folder.is_dir() and not folder.name.startswith("_") and is_run(folder)
    ]
    accuracy, shown = results.accuracy_table(scale_dir), ""
    if len(accuracy):
        shown = tables.to_html(results.wide_table(accuracy), "Accuracy by run and step")
    text = markup.fill(
        "runs.html.j2",
        scale=scale_dir.name,
        runs=runs,
        generated=any(run["cells"][0].startswith(params.GENERATOR) for run in runs),
        analysis=_link(page.parent / "analyze.html", page),
        failed=_failed(scale_dir, page),
        sets=_sets(scale_dir, page),
        accuracy=shown,
        differences=comparability.differences(scale_dir) if len(accuracy) else [],
    )
    return accessible.page(text)


def _run(folder: Path, page: Path) -> dict:
    """A row of the table of runs."""
    known = describe_run(folder)
    baseline = known["traces"] in ("none", "imported")
    steps = "—" if baseline else str(known["max_steps"])
    if not known["finished"]:
        steps += " (unfinished)"
    names = ("eval",) if baseline else ("train", "eval")
    return {
        "name": folder.name,
        "pages": [_link(folder / f"{name}.html", page) for name in names]
        + [_link(f, page) for f in [folder / answers_page.PAGE] if f.is_file()],
        "cells": [known[key] for key in ("traces", "student", "domain", "seed")] + [steps],
    }


def describe_run(folder: Path) -> dict:
    """What a run's provenance says about it; "?" where it says nothing."""
    record: dict = {}
    if (folder / imported.FILE).is_file():
        about = provenance.read(folder / imported.FILE, "import it again")["run"]
        return about | {"seed": "—", "max_steps": "—", "traces": "imported", "finished": True}
    for name in ("provenance_train.json", "provenance_eval.json"):
        if (folder / name).is_file():
            try:
                record = json.loads((folder / name).read_text(encoding="utf-8"))
                break
            except ValueError:  # damaged: the other one may tell
                continue
    given = record.get("parameters", {})
    described = {key: given.get(key, "?") for key in ("student", "domain", "seed", "max_steps")}
    # eval.ipynb does not know it
    dataset = given.get("dataset", "?") if name == "provenance_train.json" else "?"
    return described | {
        "traces": params.traces_of(given.get("teacher", "?"), dataset, given.get("scale", "?")),
        "finished": record.get("finished"),
    }


def _link(target: Path, page: Path) -> dict[str, str]:
    """A page by its name, with its address as seen from `page`, or why there is none."""
    name = target.stem
    if target.is_file():
        return {"name": name, "href": _address(target, page)}
    record = f"provenance_{name}.json" if name in ("train", "eval") else "provenance.json"
    made = target.with_name(record)
    if target.with_suffix(".ipynb").is_file():
        why = "executed, not rendered"
    elif made.is_file():
        try:
            done = provenance.read(made, "").get("finished", True)
        except ValueError:  # damaged
            done = False
        why = f"{'done' if done else 'begun'}, no page"
    else:
        why = "not executed"
    return {"name": name, "href": "", "why": why}


def _address(target: Path, page: Path) -> str:
    return quote(Path(os.path.relpath(target, page.parent)).as_posix())


def _failed(scale_dir: Path, page: Path) -> list[dict]:
    """The failures of a scale, each with the address of its page where there is one."""
    found = []
    for notebook, failure in failures(scale_dir).items():
        target = notebook.with_suffix(".html")
        name = notebook.relative_to(scale_dir).with_suffix("").as_posix()
        href = _address(target, page) if target.is_file() else ""
        found.append(failure | {"name": name, "href": href})
    return found


def _sets(scale_dir: Path, page: Path) -> list[dict]:
    """The sets of training traces of a scale."""
    found = []
    for file in sorted(scale_dir.glob("traces/*/funnel.json")):
        counts = json.loads(file.read_text(encoding="utf-8"))
        page_of_set = _link(file.with_name("traces.html"), page)
        sizes = {key: f"{counts[key]:,}" for key in ("kept", "rows")}
        found.append({"name": file.parent.name, "page": page_of_set} | sizes)
    return found
