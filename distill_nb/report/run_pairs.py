"""Comparisons that the landing page of a scale offers: every two runs of one student in one domain,
and each run's base student beside its best checkpoint. The pages are compare_page.py's; one is made
again only where what it is made of has changed."""

from __future__ import annotations

import logging
import re
from html import unescape
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from pandas import DataFrame

from distill_nb.analysis import finished, pairing
from distill_nb.analysis.names import name_of
from distill_nb.report import compare_page
from distill_nb.runtime import code_hash, provenance

log = logging.getLogger(__name__)
MOST = 40  # pages that are made unasked; `distill-nb compare` makes any other
HEAD = 4096  # characters of a page that hold its title and what it says in short
MADE_OF = "made-of"  # the name of a page's <meta> with the hash of what it is made of


class Pair(NamedTuple):
    """Two checkpoints, as (run's folder, step), and what there is to say of the choice."""

    first: tuple[str, int]
    second: tuple[str, int]
    note: str = ""

    @property
    def title(self) -> str:
        sides = [
            f"step {step}" if step else "base student" for _, step in (self.first, self.second)
        ]
        if self.first[0] == self.second[0]:
            return f"{self.first[0]}: {sides[0]} and {sides[1]}"
        return f"{self.first[0]}, {sides[0]}, and {self.second[0]}, {sides[1]}"

    @property
    def file(self) -> str:
        return compare_page.file_name(*self.first, *self.second)

    @property
    def command(self) -> str:
        """What makes the page by hand."""
        sides = [f"{name}@{step or 'base'}" for name, step in (self.first, self.second)]
        return f"distill-nb compare {' '.join(sides)}"


class Offered(NamedTuple):
    """A comparison on the landing page: its page's file, "" where there is none yet."""

    title: str
    file: str
    short: str  # what came out
    note: str
    command: str
    of_base: bool = False  # a run beside its own base student


def pairs(records: DataFrame) -> list[Pair]:
    """The pairs of a scale, from `results.load_records`: runs first, each at its last checkpoint
    with finished benchmarks, so that nothing was chosen."""
    if not len(records):
        return []
    done = finished.progress(records)["finished"].rename("whole").reset_index()
    last = done[done["whole"] & (done["step"] > 0)].groupby("folder")["step"].max().to_dict()
    kinds = records[records["step"] > 0].groupby("folder")[["student", "domain"]].last()
    found = []
    for _, alike in kinds.groupby(["student", "domain"]):
        runs = [str(folder) for folder in alike.index if folder in last]
        found += [Pair((a, last[a]), (b, last[b])) for a, b in combinations(runs, 2)]
    return found + _with_their_bases(records, last)


def _with_their_bases(records: DataFrame, last: dict[str, int]) -> list[Pair]:
    """Each run's base student beside its last checkpoint, and beside its best one where that is
    another."""
    with_base = set(records["folder"][records["step"] == 0])
    best = {choice.folder: _best(choice) for choice in finished.choices(records)}
    found = []
    for folder, step in last.items():
        if folder not in with_base:
            continue
        found.append(Pair((folder, 0), (folder, step)))
        better, why = best.get(folder, (step, ""))
        if better != step:
            found.append(Pair((folder, 0), (folder, better), why))
    return found


def _best(choice: finished.Choice) -> tuple[int, str]:
    """The best of a run's checkpoints, the earliest of equals, and what is to be said of it."""
    if choice.why_not:
        return max(choice.steps, default=0), ""
    right = choice.records["outcome"] == "correct"
    scores = right.groupby(choice.records["step"]).mean()
    step = int(scores.idxmax())
    note = (
        f"Step {step} is the best of {len(choice.steps)} checkpoints on "
        f"{name_of(choice.benchmark)}, chosen on these problems: it looks better than it is."
    )
    return step, note


def make(scale_dir: Path, found: list[Pair], margin: float) -> None:
    """Write the pages of pairs that are not there as they would be made now, MOST at most. One that
    cannot be made is logged, and left out."""
    if not found:
        return
    code = code_hash.hashes("distill_nb.report.compare_page")
    for pair in found[:MOST]:
        page = scale_dir / "report" / pair.file
        made_of = _made_of(scale_dir, pair, margin, code)
        if _said(page).get(MADE_OF) == made_of:
            continue
        try:
            first, second = (pairing.Place(scale_dir / run, step) for run, step in pair[:2])
            both = pairing.beside(first, second)
        except ValueError as error:
            log.warning(f"Not compared: {error}")
            continue
        notes = [pair.note] if pair.note else []
        both = both._replace(left_out=[*notes, *both.left_out])
        compare_page.write(both, page, margin, {MADE_OF: made_of})


def _made_of(scale_dir: Path, pair: Pair, margin: float, code: dict[str, str]) -> str:
    """A hash of what a page is made of: the files of both runs by size and time, and the code."""
    files = []
    for folder, step in (pair.first, pair.second):
        run = scale_dir / folder
        own = [*run.glob(f"eval/step_{step:05d}/*.jsonl"), *run.glob("provenance_*.json")]
        for file in sorted([*own, *run.glob("answers.html")]):
            known = file.stat()
            files.append([str(file.relative_to(scale_dir)), known.st_size, known.st_mtime_ns])
    return provenance.sha256_of_json([list(pair), margin, code, files])[:16]


def offered(scale_dir: Path, found: list[Pair]) -> list[Offered]:
    """The pairs with their pages, and after them the other comparisons that have a page."""
    folder, rows = scale_dir / "report", []
    for pair in found:
        said = _said(folder / pair.file)
        file = pair.file if said else ""
        short, of_base = said.get("description", ""), not pair.first[1]
        rows.append(Offered(pair.title, file, short, pair.note, pair.command, of_base))
    known = {row.file for row in rows}
    for page in sorted(folder.glob("compare_*.html")):
        said = _said(page)
        if page.name not in known and said:
            title = said.get("title", page.stem).removeprefix("Compare · ")
            rows.append(Offered(title, page.name, said.get("description", ""), "", ""))
    return rows


def _said(page: Path) -> dict[str, str]:
    """The title of a page of comparison and what its <meta> say; {} where there is none."""
    try:
        with open(page, encoding="utf-8", errors="replace") as file:
            head = file.read(HEAD)
    except OSError:
        return {}
    metas = re.findall(r'<meta content="([^"]*)" name="([^"]*)"', head)
    said = {name: unescape(content) for content, name in metas}
    title = re.search(r"<title>([^<]*)</title>", head)
    return said | ({"title": unescape(title[1])} if title else {})
