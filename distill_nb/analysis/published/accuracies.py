"""The accuracies that the published study prints, read from accuracies.csv."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from distill_nb.analysis.names import COLUMNS, NAMES, RUN
from distill_nb.analysis.published import grim
from distill_nb.params import BENCHMARKS

PUBLISHED = Path(__file__).parent


def load_published(file: Path = PUBLISHED / "accuracies.csv") -> pd.DataFrame:
    """The published study's baselines and checkpoints as a tidy table (names.Cell), as printed: 129
    numbers (AIME was run, not reported).

    n: problems that the number is of: those that the study states for the benchmark, or, where no k
    of so many is printed so, those of the full benchmark (grim.SIZES); flagged: degraded by
    sampling errors, the study's asterisk. Raises ValueError, one sentence naming file, line, column
    and remedy."""
    rows: list[dict] = []
    seen: dict[tuple, int] = {}
    for number, row in lines_of(file, COLUMNS):
        where = f"{Path(file).name}, line {number}"
        for column, remedy in row_problems(row):
            raise ValueError(f"{where}: {column} is {row.get(column)!r}: {remedy}.")
        key = tuple(row[c] for c in (*RUN, "step", "benchmark"))
        if key in seen:
            raise ValueError(
                f"{where}: benchmark {row['benchmark']!r} repeats the cell of line {seen[key]}: "
                "take one of them out."
            )
        seen[key] = number
        rows.append(row)
    _check_sizes(Path(file).name, rows, list(seen.values()))
    table = pd.DataFrame(rows, columns=COLUMNS)
    rates = table["learning_rate"].replace("", "nan")
    table = table.assign(flagged=table["flagged"] == "true", learning_rate=rates)
    numbers = {"step": int, "n": int, "decimals": int, "accuracy": float, "learning_rate": float}
    return table.astype(numbers)


def _check_sizes(file: str, rows: list[dict], lines: list[int]) -> None:
    """Raise ValueError for a number with another n than most of its benchmark, unless no k of that
    is printed so."""
    counts = Counter((row["benchmark"], int(row["n"])) for row in rows)
    for row, line in zip(rows, lines, strict=True):
        benchmark, accuracy, own = row["benchmark"], row["accuracy"], int(row["n"])
        usual = max((n for b, n in counts if b == benchmark), key=lambda n: counts[benchmark, n])
        if own != usual and grim.possible_k(float(accuracy), int(row["decimals"]), usual):
            raise ValueError(
                f"{file}, line {line}: n is '{own}', but {usual} in other lines of {benchmark}, "
                f"and {accuracy} can be k of {usual}: write the number that the study states."
            )


def lines_of(file: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of each line of a CSV file. Raises ValueError if its columns are
    others."""
    with open(file, newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        if reader.fieldnames != columns:
            raise ValueError(
                f"{Path(file).name}, line 1: the columns are {reader.fieldnames}: write "
                f"{','.join(columns)}."
            )
        for row in reader:
            yield reader.line_num, row


def row_problems(row: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(column, remedy) of everything that cannot be in one line of accuracies.csv, a mapping of
    texts."""
    if None in row or None in row.values():
        lacks = f"the line does not have {len(COLUMNS)} columns"
        remedy = f"{lacks}: quote a comma, or add what is missing"
        yield "source", remedy
        return
    base = row["teacher"] == "none"
    number = re.fullmatch(r"(\d{1,3})(?:\.(\d+))?", row["accuracy"])
    fine = {
        "student": row["student"] in NAMES.values(),
        "teacher": row["teacher"] in ("r1", "sonnet", "none"),
        "domain": row["domain"] in (("none",) if base else ("math", "code")),
        "step": re.fullmatch("0" if base else r"[1-9]\d*", row["step"]),
        "benchmark": row["benchmark"] in BENCHMARKS,
        "accuracy": number and float(row["accuracy"]) <= 100,
        "decimals": number and row["decimals"] == str(len(number[2] or "")),
        "n": re.fullmatch(r"[1-9]\d*", row["n"]),
        "flagged": row["flagged"] in ("true", "false"),
        "learning_rate": re.fullmatch("" if base else r"\d\.\d+e-\d", row["learning_rate"]),
        "source": row["source"].strip(),
    }
    remedies = {
        "student": "write the hub id of one of the study's students",
        "teacher": "write r1, sonnet, or none for a baseline",
        "domain": "write none" if base else "write math or code",
        "step": "write 0" if base else "write the checkpoint's step, a whole number above 0",
        "benchmark": f"write one of {', '.join(BENCHMARKS)}",
        "accuracy": "write percent from 0 to 100, as printed",
        "decimals": f"write the digits after the point of accuracy {row['accuracy']}",
        "n": "write the number of problems",
        "flagged": "write true or false",
        "learning_rate": "leave it empty" if base else "write a rate like 2.0e-5",
        "source": "name the study's section and row",
    }
    yield from ((column, remedies[column]) for column in COLUMNS if not fine.get(column, True))
