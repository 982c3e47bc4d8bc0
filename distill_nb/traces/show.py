"""What a report shows of a set: its funnel, what matched evaluation sets, examples, lengths."""

import json
import random
from html import escape

import numpy as np
import pandas as pd

from distill_nb import params
from distill_nb.runtime import paths
from distill_nb.runtime.files import write_json
from distill_nb.students import chat, sources, student
from distill_nb.traces import ledger
from distill_nb.traces.files import StoredTraces, folder_of, read
from distill_nb.traces.params import TraceParams
from distill_nb.traces.teacher import audit as teacher_audit

# A notebook's own style breaks lines within words.
TEXT = "white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere"


def contamination(dataset: str, scale: str) -> pd.DataFrame:
    """Rows that matched each evaluation set: what became of them, how many, and one match in words.
    Empty where nothing matched."""
    folder = folder_of(dataset, scale)
    matched = [("reason", "in", ["contaminated", "same_template"])]
    columns = ["reason", "detail"]
    rejected = pd.read_parquet(folder / "rejected.parquet", columns=columns, filters=matched)
    kept = pd.read_parquet(folder / "train.parquet", columns=["template_of"])
    kept = kept[kept["template_of"] != ""].rename(columns={"template_of": "detail"})
    found = pd.concat([rejected, kept.assign(reason="same template, in the set")])
    if found.empty:
        return pd.DataFrame()
    found[["evaluation set", "task"]] = found["detail"].str.extract(r"^(\S+) (.+) \([\d.]+\)$")
    return (
        found.groupby(["reason", "evaluation set"])
        .agg(rows=("task", "size"), problems=("task", "nunique"), example=("detail", "first"))
        .reset_index()
    )


def audit(dataset: str, scale: str) -> pd.DataFrame | None:
    """The audit table of the API teacher's answers; None for a set from the hub."""
    folder = folder_of(dataset, scale) / "teacher"
    return teacher_audit.audit(folder) if folder.is_dir() else None


def overlap(scale: str) -> pd.DataFrame:
    """How many problems the sets of a scale share, as a square table."""
    names = sorted(f.parent.name for f in (paths.runs() / scale / "traces").glob("*/train.parquet"))
    ids = {name: {row["id"] for row in read(name, scale, ["id"])} for name in names}
    return pd.DataFrame({a: {b: len(ids[a] & ids[b]) for b in names} for a in names})


def examples(dataset: str, scale: str, n: int = 10, seed: int = 0) -> str:
    """n traces drawn at random, as HTML to unfold and read."""
    stored = StoredTraces(dataset, scale, ["prompt", "trace", "answer", "source_id"])
    drawn = random.Random(seed).sample(stored.places.tolist(), min(n, len(stored)))
    stored.places = np.array(drawn, np.int64)
    in_file = dict(zip(sorted(drawn), stored, strict=True))
    shown = [in_file[place] for place in drawn]
    return "\n".join(
        f"<details{' open' if i == 0 else ''}><summary>{escape(row['source_id'])}: "
        f"{escape(' '.join(row['prompt'].split())[:100])} … "
        f"({len(row['trace']):,} characters)</summary>"
        f"<h3>The student is asked</h3><pre style='{TEXT}'>{escape(row['prompt'])}</pre>"
        f"<h3>and trained on</h3><pre style='{TEXT}'>{escape(row['trace'])}</pre>"
        + (f"<p>Known answer: {escape(row['answer'])}</p>" if row["answer"] else "")
        + "</details>"
        for i, row in enumerate(shown)
    )


def ledgers(p: TraceParams) -> dict[str, dict]:
    """The length ledger of the set for each of p.students, written to ledger.json too."""
    columns = {"problem": "prompt", "trace": "trace"}
    rows, books = StoredTraces(p.dataset, p.scale, columns, p.n_examples), {}
    size = "tiny" if p.scale == "tiny" else "full"
    for name in p.students:
        who = params.pocket(student=name, scale=p.scale, student_size=size)
        tokenizer, template = student.load_tokenizer(who), chat.template_for(name)
        tokens = ledger.tokens_of(tokenizer, template, rows)
        books[sources.public_name(who)] = ledger.measure(tokenizer, tokens, rows, p.max_length)
    write_json(folder_of(p.dataset, p.scale) / "ledger.json", books)
    return books


def funnel(dataset: str, scale: str) -> dict:
    """funnel.json of a set."""
    return json.loads((folder_of(dataset, scale) / "funnel.json").read_text())
