"""What the write-up says / what its numbers say: every sentence, footnote and best-checkpoint table
of the published study (published/claims.csv) against the numbers of its baselines and checkpoints
(published/accuracies.csv).

`check_claims` gives a row a claim, `inconsistencies` those that do not simply agree. The columns of
the claims say what is claimed of which cells, so that nothing here knows an answer."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from distill_nb.analysis import stats
from distill_nb.analysis.comparisons import changes
from distill_nb.analysis.names import RULE, name_of, printed, printed_rate
from distill_nb.analysis.published.accuracies import PUBLISHED
from distill_nb.analysis.published.grim import grim, possible_k
from distill_nb.analysis.results import best_checkpoints

CLAIM_COLUMNS = [
    "id",
    "section",
    "claim",
    "quantity",
    "student",
    "teacher",
    "domain",
    "step",
    "benchmark",
    "value",
    "flagged",
]
RUN_COLUMNS = ["student", "teacher", "domain"]


def load_claims(file: Path = PUBLISHED / "claims.csv"):
    """What the write-up says, one claim a row, columns CLAIM_COLUMNS: `quantity` is what is claimed
    (QUANTITIES) of the cells that student … benchmark name (any = all; step best = by the study's
    rule), value the number claimed.

    Raises ValueError, one sentence naming file, line, column and remedy."""
    import pandas as pd

    rows, name = [], Path(file).name
    with open(file, newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        if reader.fieldnames != CLAIM_COLUMNS:
            raise ValueError(
                f"{name}, line 1: the columns are {reader.fieldnames}: write "
                f"{','.join(CLAIM_COLUMNS)}."
            )
        for row in reader:
            where = f"{name}, line {reader.line_num}"
            if row["quantity"] not in QUANTITIES:
                raise ValueError(
                    f"{where}: quantity is {row['quantity']!r}: write one of "
                    f"{', '.join(QUANTITIES)}."
                )
            if row["id"] in [r["id"] for r in rows]:
                raise ValueError(f"{where}: id {row['id']!r} is taken: give each claim its own.")
            if not re.fullmatch(r"(-?\d+(\.\d+)?)?", row["value"] or ""):
                raise ValueError(f"{where}: value is {row['value']!r}: write a number, or nothing.")
            rows.append(row)
    return pd.DataFrame(rows, columns=CLAIM_COLUMNS)


def check_claims(claims, table):
    """Every claim against the tables: id, section, says, numbers (a sentence made from the table),
    verdict (agrees, caveat: true as worded but not the whole picture, disagrees, not reported)."""
    import pandas as pd

    rows = []
    for c in claims.itertuples():
        says = c.claim.format(
            value=float(c.value) if "{value:" in c.claim else c.value,
            benchmark=name_of(c.benchmark),
        )
        c = c._replace(value=float(c.value or "nan"))
        try:
            verdict, numbers = QUANTITIES[c.quantity](c, _cells(c, table), table, claims)
        except (KeyError, IndexError, StopIteration):  # a cell that it compares is not in the table
            verdict, numbers = "not reported", "The tables lack a number that this needs."
        rows.append((c.id, c.section, says, numbers, verdict))
    return pd.DataFrame(rows, columns=["id", "section", "says", "numbers", "verdict"])


def inconsistencies(claims, table):
    """The rows of check_claims that do not simply agree: what the write-up says / what its numbers
    say."""
    checked = check_claims(claims, table)
    return checked[checked["verdict"] != "agrees"].reset_index(drop=True)


def _cells(c, table):
    """The rows of the table that a claim is about; step `best` is what the rule chooses in the
    claim's run."""
    chosen = table
    for column in ("student", "teacher", "domain", "benchmark", "step"):
        value = getattr(c, column)
        if value not in ("any", "best"):
            chosen = chosen[chosen[column] == (int(value) if column == "step" else value)]
    if c.step == "best":
        best = best_checkpoints(table)
        steps = best[
            (best[["student", "teacher", "domain"]] == [c.student, c.teacher, c.domain]).all(axis=1)
        ]["step"]
        chosen = chosen[chosen["step"].isin(steps)]
    return chosen


def _run(r) -> str:
    return name_of(r.student) + (
        " baseline" if r.step == 0 else f" {name_of(r.teacher)} {r.domain}"
    )


def _size(c, cells, table, claims):
    tested = grim(cells.assign(n=int(c.value)))
    failed = tested[~tested["consistent"]]
    if failed.empty:
        return "agrees", (
            f"All {len(cells)} numbers can be k of {c.value:.0f}; {tested['can_fail'].sum()} of "
            "them are "
            "printed finely enough to fail."
        )
    texts = []
    for r in failed.itertuples():
        text = f"{printed(r)} ({_run(r)}) is no k of {c.value:.0f}"
        text += f", but {' or '.join(r.implied)}" if r.implied else ""
        for n in (int(x.split("/")[1]) for x in r.implied):
            others = [
                o
                for o in tested[tested["consistent"]].itertuples()
                if not possible_k(o.accuracy, o.decimals, n)
            ]
            finest = [printed(o) for o in others if o.decimals == r.decimals]
            text += f", while {', '.join(finest)} is no k of {n}" if finest else ""
        texts.append(text)
    return "disagrees", "; ".join(texts) + "."


def _listed(c, cells, table, claims):
    if cells.empty:
        return "not reported", f"No table has a number of {name_of(c.benchmark)}."
    every = table.drop_duplicates(["student", "teacher", "domain"])
    have = set(map(tuple, cells[["student", "teacher", "domain"]].to_numpy()))
    lack = [_run(r) for r in every.itertuples() if (r.student, r.teacher, r.domain) not in have]
    steps = table[["student", "teacher", "domain", "step"]].drop_duplicates()
    text = f"{len(cells)} of {len(steps)} baselines and checkpoints have a number"
    return ("caveat" if len(cells) < len(steps) else "agrees"), text + (
        f"; none: {', '.join(lack)}." if lack else "."
    )


def _cell(c, cells, table, claims):
    if len(cells) != 1:
        return "not reported", f"The tables have {len(cells)} numbers for it."
    r = next(cells.itertuples())
    text = f"{_run(r)}{f' step {r.step}' if r.step else ''}: {name_of(r.benchmark)} {printed(r)}"
    if abs(r.accuracy - c.value) > 1e-9:
        others = table[
            (
                table[["student", "teacher", "domain", "benchmark"]]
                == [r.student, r.teacher, r.domain, r.benchmark]
            ).all(axis=1)
            & (table["accuracy"] == c.value)
        ]
        where = [f"{printed(o)} is step {o.step}'s" for o in others.itertuples()]
        return "disagrees", text + (f"; {', '.join(where)}" if where else "") + "."
    return (
        "disagrees" if c.flagged and (c.flagged == "true") != r.flagged else "agrees"
    ), text + "."


def _best(c, cells, table, claims):
    top = [r for r in cells.itertuples() if r.accuracy == cells["accuracy"].max()]
    shown = ", ".join(f"{printed(r)} ({_run(r)}, step {r.step})" for r in top)
    return (
        "agrees" if top[0].accuracy == c.value else "disagrees"
    ), f"The best {name_of(c.benchmark)} is {shown}."


def _best_step(c, cells, table, claims):
    best = best_checkpoints(cells)
    if len(best) != 1:
        return "not reported", f"The tables have {len(best)} such runs."
    r = next(best.itertuples())
    text = f"The rule chooses step {r.step} by {name_of(r.benchmark)}"
    if r.ties:
        text += f"; step {', '.join(map(str, r.ties))} has the same printed score, so that rounding hides which is best"
    return ("disagrees" if r.step != c.value else "caveat" if r.ties else "agrees"), text + "."


def _all_runs(c, cells, table, claims):
    named = {tuple(k) for k in claims[claims["quantity"] == "best_step"][RUN_COLUMNS].to_numpy()}
    missing = [
        r
        for r in best_checkpoints(cells).itertuples()
        if (r.student, r.teacher, r.domain) not in named
    ]
    text = [
        f"{name_of(r.teacher)} {r.domain} (best step {r.step}: {name_of(r.benchmark)} "
        f"{r.accuracy:g}%)"
        for r in missing
    ]
    return (
        ("caveat", f"Left out: {', '.join(text)}.") if missing else ("agrees", "It has every run.")
    )


def _degraded(c, cells, table, claims):
    plain = [
        f"{name_of(r.benchmark)} {printed(r)} ({_run(r)})"
        for r in cells.itertuples()
        if not r.flagged
    ]
    text = f"{int(cells['flagged'].sum())} of {len(cells)} such numbers carry the asterisk"
    return ("caveat" if plain else "agrees"), text + (
        f"; not {', '.join(plain)}." if plain else "."
    )


def _every(c, cells, table, claims):
    other = [f"{printed(r)} at step {r.step}" for r in cells.itertuples() if r.accuracy != c.value]
    return (
        ("disagrees", f"{len(other)} of {len(cells)} checkpoints differ: {', '.join(other)}.")
        if other
        else ("agrees", f"All {len(cells)} checkpoints have {c.value:g}%.")
    )


def _change(c, cells, table, claims):
    found = [
        (r, b)
        for r, b, _ in changes(table, c.student, c.teacher, c.domain, c.benchmark)
        if r.Index in cells.index
    ]
    if len(found) != 1:
        return "not reported", f"The tables have {len(found)} such differences."
    r, b = found[0]
    change = round(r.accuracy - b.accuracy, 1)
    text = f"{printed(b)} → {printed(r)} at step {r.step}: {change:+g} points."
    return ("agrees" if change == c.value else "disagrees"), text


def _no_loss(c, cells, table, claims):
    found = [
        (r, b)
        for r, b, _ in changes(table, c.student, c.teacher, c.domain)
        if r.Index in cells.index
    ]
    lost = [
        f"{name_of(r.benchmark)} {r.accuracy - b.accuracy:+.1f}"
        for r, b in found
        if r.accuracy < b.accuracy
    ]
    return ("disagrees" if lost else "agrees"), (
        f"{len(lost)} of {len(found)} benchmarks fall below the baseline"
        + (f": {', '.join(lost)}." if lost else ".")
    )


def _no_gain(c, cells, table, claims):
    """Any of so many checkpoints may be above by chance: p values by Holm over all of them."""
    found = list(changes(table, c.student, c.teacher, c.domain, c.benchmark))
    p_holm = stats.holm([d.p for *_, d in found])
    beyond = [
        (r, b, d, p)
        for (r, b, d), p in zip(found, p_holm, strict=True)
        if p < 0.05 and d.difference > 0
    ]
    if not beyond:
        return "agrees", f"No p value of {len(found)} gains over the baseline is below 0.05 (Holm)."
    r, b, d, p = max(beyond, key=lambda x: x[2].difference)
    return "disagrees", (
        f"{len(beyond)} of {len(found)} checkpoints are above the baseline beyond noise (Holm), "
        "the most "
        f"{_run(r)} step {r.step}: {printed(b)} → {printed(r)}, {100 * d.difference:+.1f} points "
        f"[{100 * d.lo:+.1f}, {100 * d.hi:+.1f}], p = {p:.2g}."
    )


def _better_teacher(c, cells, table, claims):
    best, rows, good = best_checkpoints(table[table["student"] == c.student]), [], []
    rates = {
        t: sorted(set(best[best["teacher"] == t]["learning_rate"]))
        for t in best["teacher"].unique()
    }
    for domain in best["domain"].unique():
        steps = best[best["domain"] == domain].set_index("teacher")["step"]
        for benchmark in (names[0] for names in RULE.values()):
            score = {
                t: table[
                    (
                        table[[*RUN_COLUMNS, "benchmark", "step"]]
                        == [c.student, t, domain, benchmark, s]
                    ).all(axis=1)
                ]["accuracy"].iloc[0]
                for t, s in steps.items()
            }
            good.append(all(score[c.teacher] > v for t, v in score.items() if t != c.teacher))
            rows.append(
                f"{domain}, {name_of(benchmark)}: "
                + ", ".join(f"{name_of(t)} {v:g}%" for t, v in score.items())
            )
    alike = len({tuple(r) for r in rates.values()}) == 1
    if not alike:
        rows.append(
            "but the learning rates differ too: "
            + ", ".join(f"{name_of(t)} {printed_rate(r[0])}" for t, r in rates.items())
        )
    return ("disagrees" if not all(good) else "agrees" if alike else "caveat"), "; ".join(
        rows
    ) + "."


def _smaller_loss(c, cells, table, claims):
    """Per student and teacher, at the best checkpoints: code's change after math distillation,
    math's after code."""
    change = {
        (*(getattr(r, k) for k in RUN_COLUMNS), r.step, r.benchmark): 100 * d.difference
        for r, _, d in changes(table)
    }
    rows, good = [], []
    for who, pair in best_checkpoints(table).groupby(["student", "teacher"], sort=False):
        step = pair.set_index("domain")["step"]
        code, math = (
            change[(*who, trained, step[trained], RULE[other][0])]
            for trained, other in (("math", "code"), ("code", "math"))
        )
        good.append(math > code)
        rows.append(f"{' '.join(map(name_of, who))}: code {code:+.1f}, math {math:+.1f}")
    return ("agrees" if all(good) else "disagrees"), "; ".join(rows) + "."


def _smaller_drop(c, cells, table, claims):
    """The student's change at the best checkpoint and at every step, against the other students so
    distilled."""
    own = {
        r.step: 100 * d.difference
        for r, _, d in changes(table, c.student, c.teacher, c.domain, c.benchmark)
    }
    best, rows, good = best_checkpoints(table), [], []
    best = best[(best["teacher"] == c.teacher) & (best["domain"] == c.domain)].set_index("student")[
        "step"
    ]
    other = next(s for s in best.index if s != c.student)
    its = {
        r.step: 100 * d.difference
        for r, _, d in changes(table, other, c.teacher, c.domain, c.benchmark)
    }
    pairs = [("best", own[best[c.student]], its[best[other]])] + [
        (f"step {s}", own[s], its[s]) for s in own if s in its
    ]
    for label, a, b in pairs:
        good.append(a > b)
        rows.append(f"{label} {a:+.1f} against {b:+.1f} ({name_of(other)})")
    return ("agrees" if all(good) else "caveat" if good[0] else "disagrees"), "; ".join(rows) + "."


QUANTITIES = {
    "size": _size, "listed": _listed, "cell": _cell, "best": _best, "best_step": _best_step, "all_runs": _all_runs,
    "degraded": _degraded, "every": _every, "change": _change, "no_loss": _no_loss, "no_gain": _no_gain,
    "better_teacher": _better_teacher, "smaller_loss": _smaller_loss, "smaller_drop": _smaller_drop,
}  # fmt: skip
