"""The data card of a published set of traces: what a row is, what became of every other row, how
it was kept clean of evaluation sets, how long the traces are, and whose licences and terms hold.

Metadata as in datasetcard.md of https://github.com/huggingface/hub-docs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pandas import DataFrame

from distill_nb.analysis import names
from distill_nb.report import markdown, markup
from distill_nb.traces import funnel, ledger, show

COLUMNS = {
    "id": "the problem's id, the same in every set that has the problem",
    "order": "the place at which a run takes it",
    "problem": "the problem, as the source states it",
    "prompt": "what the student is asked: the problem in the benchmarks' words",
    "trace": "what the student is trained on",
    "answer": "the known answer, empty where there is none",
    "teacher": "whose trace it is",
    "domain": "math or code",
    "source_id": "the row of the source",
    "template_of": "the evaluation problem that it is, with other numbers; empty for most",
}
SIZES = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, kw_only=True)
class About:
    """What a card says of a set. record: its provenance; ledgers: student → length ledger;
    teacher: whose outputs the traces are, "" for generated ones; source: of the problems."""

    dataset: str
    scale: str
    to: str
    record: dict
    ledgers: dict[str, dict]
    metadata: dict
    licence: str
    source: str
    source_licence: str
    teacher: str
    tag: str


def write(about: About) -> str:
    """The card of a set, Markdown with the hub's metadata."""
    kept = about.record["funnel"]["kept"]
    metadata = about.metadata | {
        "pretty_name": about.dataset,
        "task_categories": ["text-generation"],
        "size_categories": [size_of(kept)],
        "tags": ["reasoning", "distillation", about.dataset.partition("_")[2], "distill_nb"],
        "configs": [
            _config("default", "train", "train.parquet", default=True),
            _config("rejected", "rejected", "rejected.parquet"),
        ],
    }
    given = about.record["parameters"]
    matched = show.contamination(about.dataset, about.scale)
    text = markup.fill(
        "data_card.md.j2",
        about=about,
        kept=kept,
        wanted=given["n_examples"] + given["spare"],
        given=given,
        columns=markdown.table(
            ["column", "what it holds"], [[f"`{k}`", said] for k, said in COLUMNS.items()]
        ),
        funnel=_table(funnel.explained(about.record["funnel"])),
        evaluation=_evaluation(about.record["evaluation"]),
        matched=_table(matched) if len(matched) else "",
        ledger=_ledger(about.ledgers),
        provenance=markdown.table(["what", "value"], _provenance(about.record)),
    )
    return markdown.joined(metadata, text)


def size_of(rows: int) -> str:
    """The hub's size category: 10K<n<100K of 25,200 rows."""
    if rows < SIZES[0]:
        return "n<1K"
    low = max(size for size in SIZES if rows >= size)
    shown = {1_000: "1K", 10_000: "10K", 100_000: "100K", 1_000_000: "1M", 10_000_000: "10M"}
    return f"{shown[low]}<n<{shown[low * 10]}"


def _config(name: str, split: str, path: str, default: bool = False) -> dict:
    made: dict[str, object] = {"config_name": name}
    made |= {"default": True} if default else {}
    return made | {"data_files": [{"split": split, "path": path}]}


def _table(frame: DataFrame) -> str:
    def cell(value: object) -> str:
        return f"{value:,}" if isinstance(value, int) else str(value)

    rows = [[cell(v) for v in row] for row in frame.astype(object).itertuples(index=False)]
    return markdown.table(list(frame.columns), rows)


def _evaluation(sets: list[dict]) -> str:
    rows = [[names.name_of(one["benchmark"]), f"{one['problems']:,}"] for one in sets]
    return markdown.table(["evaluation set", "problems"], rows)


def _ledger(ledgers: dict[str, dict]) -> str:
    if not ledgers:
        return ""
    shown = ledger.table(ledgers)
    rows = [[str(label), *row] for label, row in zip(shown.index, shown.to_numpy(), strict=True)]
    return markdown.table(["", *shown.columns], rows)


def _provenance(record: dict) -> list[list[str]]:
    source, git = record["source"], record.get("git") or {}
    said = str(source.get("source", ""))
    commit = (git.get("commit") or "unknown") + (", with changes" if git.get("dirty") else "")
    return [
        ["source", Path(said).name if Path(said).is_absolute() else said],
        ["train.parquet, sha256", record["train_sha256"]],
        ["decontamination, version", str(record["decontamination"])],
        ["code", commit],
        ["finished", str(record["finished_at"])],
    ]
