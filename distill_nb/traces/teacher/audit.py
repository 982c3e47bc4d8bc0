"""What an API teacher's folder tells, in one table."""

import json
from collections import Counter
from pathlib import Path

import pandas as pd

from distill_nb.runtime.jsonl import lines
from distill_nb.traces.teacher import costs
from distill_nb.traces.teacher.records import KEPT

PARTS = (
    "requests", "problems", "kept", "rejected", "failed", "stop reason", "model", "thinking",
    "cost", "tokens", "characters",
)  # fmt: skip


def audit(folder: Path) -> pd.DataFrame:
    """A tidy table of part, name, value, read line by line; also while `generate` is at work.

    requests by status and by attempt; problems asked and kept; kept by attempt and outcome;
    rejected answers by reason, failed requests by error; stop reason; model as requested → as
    returned; thinking kind; cost in dollars by mode and for each kept trace (nan where there are
    none); tokens (of thinking as the API counts them, in `thinking tokens known` of the answers);
    characters of thinking and of visible text, total over the answers. Raises ValueError for a
    folder that is no teacher's."""
    folder = Path(folder)
    file = folder / "settings.json"
    if not file.exists():
        raise ValueError(
            f"{folder.name}: it has no settings.json; name a folder that generation.generate has "
            "written."
        )
    made_by = json.loads(file.read_text(encoding="utf-8"))
    outcomes = {
        v["custom_id"]: v["outcome"]
        for _, v in lines(folder / "verdicts.jsonl")
        if v["grader"] == made_by["grader"]
    }
    parts: dict[str, dict] = {name: Counter() for name in PARTS}
    asked, kept, paid = set(), set(), {"batch": [0, 0], "messages": [0, 0]}
    for _, r in lines(folder / "responses.jsonl"):
        asked.add(r["id"])
        parts["requests"][r["status"]] += 1
        parts["requests"][f"attempt {r['attempt']}"] += 1
        paid[r["mode"]][0] += r["input_tokens"]
        paid[r["mode"]][1] += r["output_tokens"]
        if r["status"] != "succeeded":
            parts["failed"][r["error"].partition(":")[0] or r["status"]] += 1
            continue
        outcome = outcomes.get(r["custom_id"], "not verified")
        if outcome in KEPT and r["id"] not in kept:
            kept.add(r["id"])
            parts["kept"][outcome] += 1
            parts["kept"][f"attempt {r['attempt']}"] += 1
        elif outcome not in KEPT:
            parts["rejected"][outcome] += 1
        parts["stop reason"][r["stop_reason"]] += 1
        parts["model"][f"{r['requested_model']} → {r['model']}"] += 1
        parts["thinking"][r["thinking_kind"]] += 1
        parts["characters"]["thinking"] += len(r["thinking"])
        parts["characters"]["visible"] += len(r["text"])
        parts["tokens"]["thinking"] += r["thinking_tokens"] or 0
        parts["tokens"]["thinking tokens known"] += r["thinking_tokens"] is not None
    parts["problems"] = {"asked": len(asked), "kept": len(kept)}
    inputs, outputs = map(sum, zip(*paid.values(), strict=True))
    parts["tokens"] = {"input": inputs, "output": outputs} | dict(parts["tokens"])
    price = made_by["price"]
    cost = {mode: costs.cost(price, mode, *tokens) for mode, tokens in paid.items() if any(tokens)}
    total = sum(cost.values())
    each = total / len(kept) if kept else float("nan")
    parts["cost"] = cost | {"total": total, "for each kept trace": each}
    rows = [(part, name, value) for part, counts in parts.items() for name, value in counts.items()]
    return pd.DataFrame(rows, columns=["part", "name", "value"])
