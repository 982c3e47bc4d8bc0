"""What the write-up says / what its numbers say: every sentence, footnote and best-checkpoint table
of the published study (claims.csv) against the numbers of its baselines and checkpoints
(accuracies.csv).

The columns of the claims say what is claimed of which cells, so nothing here knows an answer."""

import re
from pathlib import Path

import pandas as pd

from distill_nb.analysis.names import name_of
from distill_nb.analysis.published.accuracies import PUBLISHED, lines_of
from distill_nb.analysis.published.claim_checks import QUANTITIES, RUN_COLUMNS, Claim
from distill_nb.analysis.tidy import best_checkpoints

CELL_COLUMNS = [*RUN_COLUMNS, "step", "benchmark"]
CLAIM_COLUMNS = ["id", "section", "claim", "quantity", *CELL_COLUMNS, "value", "flagged"]


def load_claims(file: Path = PUBLISHED / "claims.csv") -> pd.DataFrame:
    """What the write-up says, one claim a row, columns CLAIM_COLUMNS: `quantity` is what is claimed
    (QUANTITIES) of the cells that student … benchmark name (any = all; step best = by the study's
    rule), value the number claimed.

    Raises ValueError, one sentence naming file, line, column and remedy."""
    rows: list[dict] = []
    for number, row in lines_of(file, CLAIM_COLUMNS):
        where = f"{Path(file).name}, line {number}"
        if row["quantity"] not in QUANTITIES:
            known = ", ".join(QUANTITIES)
            raise ValueError(f"{where}: quantity is {row['quantity']!r}: write one of {known}.")
        if row["id"] in [r["id"] for r in rows]:
            raise ValueError(f"{where}: id {row['id']!r} is taken: give each claim its own.")
        if not re.fullmatch(r"(-?\d+(\.\d+)?)?", row["value"] or ""):
            raise ValueError(f"{where}: value is {row['value']!r}: write a number, or nothing.")
        rows.append(row)
    return pd.DataFrame(rows, columns=CLAIM_COLUMNS)


def stated_sizes(claims: pd.DataFrame) -> dict[str, int]:
    """Benchmark → problems that the write-up states."""
    sizes = claims[claims["quantity"] == "size"]
    return dict(zip(sizes["benchmark"], sizes["value"].astype(int), strict=True))


def check_claims(claims: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Every claim against the tables: id, section, says, numbers (a sentence made from the table),
    verdict (agrees, caveat: true as worded but not the whole picture, disagrees, not reported)."""
    rows, best = [], best_checkpoints(table)
    for c in claims.itertuples():
        value = float(c.value or "nan")
        shown = value if "{value:" in c.claim else c.value
        says = c.claim.format(value=shown, benchmark=name_of(c.benchmark))
        about = {column: getattr(c, column) for column in CELL_COLUMNS}
        claim = Claim(
            **about, value=value, flagged=c.flagged, table=table, claims=claims, best=best
        )
        try:
            verdict, numbers = QUANTITIES[c.quantity](claim)
        except (KeyError, IndexError, StopIteration):  # a cell that it compares is not in the table
            verdict, numbers = "not reported", "The tables lack a number that this needs."
        rows.append((c.id, c.section, says, numbers, verdict))
    return pd.DataFrame(rows, columns=["id", "section", "says", "numbers", "verdict"])


def inconsistencies(claims: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of check_claims that do not simply agree: what the write-up says / what its numbers
    say."""
    checked = check_claims(claims, table)
    return checked[checked["verdict"] != "agrees"].reset_index(drop=True)
