"""The accuracies that the published study prints, read from accuracies.csv."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from distill_nb.analysis.names import COLUMNS, NAMES
from distill_nb.params import BENCHMARKS

PUBLISHED = Path(__file__).parent


def load_published(file: Path = PUBLISHED / "accuracies.csv"):
    """The published study's baselines and checkpoints, columns COLUMNS, as printed: 129 numbers
    (AIME was run, not reported).

    accuracy: percent; decimals: how many are printed; n: problems as the study states them; step 0
    = baseline, with teacher and domain none and no learning rate; flagged: degraded by sampling
    errors, the study's asterisk. Raises ValueError, one sentence naming file, line, column and
    remedy."""
    import pandas as pd

    rows, seen, sizes = [], {}, {}
    with open(file, newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        if reader.fieldnames != COLUMNS:
            raise ValueError(
                f"{Path(file).name}, line 1: the columns are {reader.fieldnames}: write "
                f"{','.join(COLUMNS)}."
            )
        for row in reader:
            where = f"{Path(file).name}, line {reader.line_num}"
            for column, remedy in row_problems(row):
                raise ValueError(f"{where}: {column} is {row.get(column)!r}: {remedy}.")
            key = tuple(
                row[c]
                for c in ("student", "teacher", "domain", "learning_rate", "step", "benchmark")
            )
            if key in seen:
                raise ValueError(
                    f"{where}: benchmark {row['benchmark']!r} repeats the cell of line "
                    f"{seen[key]}: "
                    "take one of them out."
                )
            if sizes.setdefault(row["benchmark"], row["n"]) != row["n"]:
                raise ValueError(
                    f"{where}: n is {row['n']!r}, but {sizes[row['benchmark']]} in earlier lines "
                    "of "
                    f"{row['benchmark']}: write the number that the study states."
                )
            seen[key] = reader.line_num
            rows.append(
                row
                | {
                    "step": int(row["step"]),
                    "n": int(row["n"]),
                    "decimals": int(row["decimals"]),
                    "accuracy": float(row["accuracy"]),
                    "flagged": row["flagged"] == "true",
                    "learning_rate": float(row["learning_rate"] or "nan"),
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def row_problems(row: dict):
    """(column, remedy) of everything that cannot be in one line of accuracies.csv, a mapping of
    texts."""
    if None in row or None in row.values():
        yield (
            "source",
            f"the line does not have {len(COLUMNS)} columns: quote a comma, or add what is missing",
        )
        return
    base = row["teacher"] == "none"
    number = re.fullmatch(r"(\d{1,3})(?:\.(\d+))?", row["accuracy"])
    checks = [
        (
            "student",
            row["student"] in NAMES.values(),
            "write the hub id of one of the study's students",
        ),
        (
            "teacher",
            row["teacher"] in ("r1", "sonnet", "none"),
            "write r1, sonnet, or none for a baseline",
        ),
        (
            "domain",
            row["domain"] in (("none",) if base else ("math", "code")),
            "write none" if base else "write math or code",
        ),
        (
            "step",
            row["step"] == "0" if base else re.fullmatch(r"[1-9]\d*", row["step"]),
            "write 0" if base else "write the checkpoint's step, a whole number above 0",
        ),
        ("benchmark", row["benchmark"] in BENCHMARKS, f"write one of {', '.join(BENCHMARKS)}"),
        (
            "accuracy",
            number and float(row["accuracy"]) <= 100,
            "write percent from 0 to 100, as printed",
        ),
        (
            "decimals",
            number and row["decimals"] == str(len(number[2] or "")),
            f"write the digits after the point of accuracy {row['accuracy']}",
        ),
        ("n", re.fullmatch(r"[1-9]\d*", row["n"]), "write the number of problems"),
        ("flagged", row["flagged"] in ("true", "false"), "write true or false"),
        (
            "learning_rate",
            row["learning_rate"] == ""
            if base
            else re.fullmatch(r"\d\.\d+e-\d", row["learning_rate"]),
            "leave it empty" if base else "write a rate like 2.0e-5",
        ),
        ("source", row["source"].strip(), "name the study's section and row"),
    ]
    yield from ((column, remedy) for column, fine, remedy in checks if not fine)
