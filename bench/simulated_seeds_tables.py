"""The tables of docs/statistics.md that simulated_seeds.py and the assumptions of sample_size.py
make.

    python bench/simulated_seeds_tables.py            print them
    python bench/simulated_seeds_tables.py --write    write them into docs/statistics.md"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pandas as pd

from bench.simulated_seeds import PROBLEMS, SKILLS, results_of
from distill_nb.analysis import variation
from distill_nb.report import sample_size_tables

DOCS = Path(__file__).resolve().parents[1] / "docs" / "statistics.md"


def tables() -> dict[str, str]:
    """Name → a Markdown table, from the results."""
    found = {name: section["rows"] for name, section in results_of().items()}
    assumed = sample_size_tables.tables(pd.DataFrame(columns=variation.COLUMNS))
    checkpoint, seeds = (markdown(table) for table in assumed.values())
    return {
        "null": null(found["null"]),
        "errors": errors(found["compare"]),
        "power": power(found["compare"]),
        "interval": interval(found["interval"]),
        "draws": draws(found["draws"]),
        "checkpoint": checkpoint,
        "seeds": seeds,
        "sizes": sizes(found["sizes"]),
    }


def null(rows: list[dict]) -> str:
    by_sd = pd.DataFrame(rows).pivot(index="seed_sd", columns="seeds")
    table = pd.DataFrame(
        {
            "seed sd, points": by_sd.index,
            "one run each: a test over problems finds a difference": by_sd["p_below_5", 1],
            "beyond problem noise is said": by_sd["beyond_problem_noise", 1],
            "a teacher is called better": by_sd["called_better", 1],
            "three runs each: a teacher is called better": by_sd["called_better", 3],
        }
    )
    return markdown(table)


def errors(rows: list[dict]) -> str:
    """Percent of studies of equal ways with a difference; the last columns by the mixed model."""
    made: dict[str, dict[str, float]] = {}
    for row in (row for row in rows if not row["difference"]):
        one, other = row["seed_sd"].split(" / ")
        design = row["runs"] + (" *" if "ways" in row else "")
        cells = made.setdefault(design, {})
        cells[f"sd {one}" if one == other else f"sd {one} and {other}"] = row["significant"]
        if one == other in ("1", "3") and "mixed_model" in row:
            cells[f"mixed model, sd {one}"] = row["mixed_model"]
    table = pd.DataFrame(made).T
    mixed = [column for column in table if column.startswith("mixed")]
    table = table[[column for column in table if column not in mixed] + mixed]
    return markdown(table.rename_axis("runs").reset_index())


def power(rows: list[dict]) -> str:
    """Percent of studies in which the difference is found, with as many runs of both ways."""
    made: dict[tuple, dict[str, float]] = {}
    for row in rows:
        one, other = row["seed_sd"].split(" / ")
        runs = set(row["runs"].split(" / "))
        if one == other and len(runs) == 1 and row["difference"] and "ways" not in row:
            cells = made.setdefault((*runs, one), {})
            cells[f"{row['difference']} points"] = row["significant"]
    table = pd.DataFrame(made).T.rename_axis(["runs of each", "seed sd, points"])
    return markdown(table.reset_index())


def interval(rows: list[dict]) -> str:
    """The lowest coverage over shares and skills, beside that of the t interval."""
    table = pd.DataFrame(rows)
    cells: dict[str, list] = {"samples": sorted(table["samples"].unique())}
    for n in PROBLEMS:
        cells[f"{n} problems"] = [
            _lowest(table[(table["problems"] == n) & (table["samples"] == m)])
            for m in cells["samples"]
        ]
    return markdown(pd.DataFrame(cells))


def _lowest(cells: pd.DataFrame) -> str:
    ours, other = (
        min(cell[key] for kind in SKILLS for cell in cells[kind])
        for key in ("covered", "t_covered")
    )
    return f"{ours} ({other})"


def draws(rows: list[dict]) -> str:
    table = pd.DataFrame(rows)
    names = ["pass@4", "majority@4"]
    lowest = table.groupby("problems")[names].min().astype(str)
    highest = table.groupby("problems")[names].max().astype(str)
    return markdown((lowest + " to " + highest).reset_index())


def sizes(rows: list[dict]) -> str:
    """The range of power in simulated studies at the numbers that are asked for."""
    table = pd.DataFrame(rows)
    table["samples"] = table["samples"].fillna(1).astype(int)
    groups = table.groupby(["question", "difference"], sort=False)["power"].agg(["min", "max"])
    words = {"checkpoint": "a checkpoint and its base student", "two ways": "two ways to train"}
    wide = (groups["min"].astype(str) + " to " + groups["max"].astype(str)).unstack()
    wide.columns = [f"{d} points" for d in wide.columns]
    return markdown(wide.rename(index=words).rename_axis("power, percent").reset_index())


def markdown(table: pd.DataFrame) -> str:
    lines = [list(map(str, table.columns)), ["---"] * table.shape[1]]
    lines += [[_cell(x) for x in row] for row in table.to_numpy(object)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(x: object) -> str:
    if isinstance(x, float):
        return "" if x != x else f"{x:g}"
    return str(x)


def filled(text: str) -> str:
    """The text with each table behind its mark, `<!-- table: NAME -->`, made anew."""
    for name, table in tables().items():
        pattern = rf"(<!-- table: {name} -->\n)\n?(\|[^\n]*\n)*"
        text, count = re.subn(pattern, lambda m, t=table: f"{m[1]}\n{t}\n", text)
        if count != 1:
            raise ValueError(f"{DOCS.name} has {count} marks of the table {name}: there is one.")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        DOCS.write_text(filled(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
        return
    for name, table in tables().items():
        print(f"{name}\n\n{table}\n")


if __name__ == "__main__":
    main()
