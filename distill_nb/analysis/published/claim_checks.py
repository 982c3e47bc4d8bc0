"""What a claim of the write-up may be about (QUANTITIES), and how each kind is checked.

A check takes a Claim and gives (verdict, sentence made from the table). It may raise KeyError,
IndexError or StopIteration where the table lacks a number that it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from distill_nb.analysis.baseline_changes import changes
from distill_nb.analysis.margins import p_value
from distill_nb.analysis.names import RULE, Cell, name_of, printed, printed_rate
from distill_nb.analysis.published import comparisons, grim
from distill_nb.analysis.published.conclusions import points
from distill_nb.analysis.published.rounding import shares
from distill_nb.analysis.tidy import best_checkpoints

RUN_COLUMNS = ["student", "teacher", "domain"]


@dataclass(frozen=True)
class Claim:
    """One line of claims.csv (claims.load_claims), and the tables that it is checked against."""

    student: str
    teacher: str
    domain: str
    step: str
    benchmark: str
    value: float  # nan where the claim has no number
    flagged: str  # true, false or nothing
    table: pd.DataFrame
    claims: pd.DataFrame
    best: pd.DataFrame  # tidy.best_checkpoints of the table

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The rows of the table that the claim is about."""
        chosen = self.table
        for column in (*RUN_COLUMNS, "benchmark", "step"):
            value = getattr(self, column)
            if value not in ("any", "best"):
                chosen = chosen[chosen[column] == (int(value) if column == "step" else value)]
        if self.step == "best":
            best = self.best
            own = is_equal(best, RUN_COLUMNS, [self.student, self.teacher, self.domain])
            chosen = chosen[chosen["step"].isin(best[own]["step"])]
        return chosen


def is_equal(table: pd.DataFrame, columns: list[str], values: list) -> pd.Series:
    """Whether each row has these values in these columns."""
    return (table[columns] == values).all(axis=1)


def _run(cell: Cell) -> str:
    """The run of a cell in words."""
    run = "baseline" if cell.step == 0 else f"{name_of(cell.teacher)} {cell.domain}"
    return f"{name_of(cell.student)} {run}"


def _size(claim: Claim) -> tuple[str, str]:
    n = int(claim.value)
    tested = grim.check(claim.cells.assign(n=n))
    if tested["consistent"].all():
        return "agrees", (
            f"All {len(tested)} numbers can be k of {n}; {tested['can_fail'].sum()} of them are "
            "printed finely enough to fail."
        )
    texts = []
    for r in tested[~tested["consistent"]].itertuples():
        text = f"{printed(r)} ({_run(r)}) is no k of {n}"
        text += f", but {' or '.join(r.implied)}" if r.implied else ""
        for other_n in (int(implied.split("/")[1]) for implied in r.implied):
            finest = [
                printed(o)
                for o in tested[tested["consistent"]].itertuples()
                if o.decimals == r.decimals and not grim.possible_k(o.accuracy, o.decimals, other_n)
            ]
            text += f", while {', '.join(finest)} is no k of {other_n}" if finest else ""
        texts.append(text)
    return "disagrees", "; ".join(texts) + "."


def _listed(claim: Claim) -> tuple[str, str]:
    if claim.cells.empty:
        return "not reported", f"No table has a number of {name_of(claim.benchmark)}."
    have = set(map(tuple, claim.cells[RUN_COLUMNS].to_numpy()))
    every = claim.table.drop_duplicates(RUN_COLUMNS).itertuples()
    lack = [_run(r) for r in every if (r.student, r.teacher, r.domain) not in have]
    steps = len(claim.table[[*RUN_COLUMNS, "step"]].drop_duplicates())
    text = f"{len(claim.cells)} of {steps} baselines and checkpoints have a number"
    text += f"; none: {', '.join(lack)}" if lack else ""
    return ("caveat" if len(claim.cells) < steps else "agrees"), f"{text}."


def _cell(claim: Claim) -> tuple[str, str]:
    if len(claim.cells) != 1:
        return "not reported", f"The tables have {len(claim.cells)} numbers for it."
    r = next(claim.cells.itertuples())
    step = f" step {r.step}" if r.step else ""
    text = f"{_run(r)}{step}: {name_of(r.benchmark)} {printed(r)}"
    if abs(r.accuracy - claim.value) > 1e-9:
        values = [r.student, r.teacher, r.domain, r.benchmark, claim.value]
        others = is_equal(claim.table, [*RUN_COLUMNS, "benchmark", "accuracy"], values)
        where = [f"{printed(o)} is step {o.step}'s" for o in claim.table[others].itertuples()]
        text += f"; {', '.join(where)}" if where else ""
        return "disagrees", f"{text}."
    wrong = claim.flagged and (claim.flagged == "true") != r.flagged
    return ("disagrees" if wrong else "agrees"), f"{text}."


def _borrowed(claim: Claim) -> tuple[str, str]:
    """A number in the row of a best checkpoint that is said to be another checkpoint's."""
    verdict, text = _cell(claim)
    best = claim.best
    step = best[is_equal(best, RUN_COLUMNS, [claim.student, claim.teacher, claim.domain])]["step"]
    values = [claim.student, claim.teacher, claim.domain, claim.benchmark, step.iloc[0]]
    own = claim.table[is_equal(claim.table, [*RUN_COLUMNS, "benchmark", "step"], values)]
    shown = [f"whose {name_of(r.benchmark)} is {printed(r)}" for r in own.itertuples()]
    mixed = f"The row is otherwise step {step.iloc[0]}'s{', '.join(['', *shown])}"
    return ("caveat" if verdict == "agrees" else verdict), f"{text} {mixed}."


def _best(claim: Claim) -> tuple[str, str]:
    cells = claim.cells.itertuples()
    top = [r for r in cells if r.accuracy == claim.cells["accuracy"].max()]
    shown = ", ".join(f"{printed(r)} ({_run(r)}, step {r.step})" for r in top)
    agrees = top[0].accuracy == claim.value
    text = f"The best {name_of(claim.benchmark)} is {shown}."
    return ("agrees" if agrees else "disagrees"), text


def _best_step(claim: Claim) -> tuple[str, str]:
    best = best_checkpoints(claim.cells)
    if len(best) != 1:
        return "not reported", f"The tables have {len(best)} such runs."
    r = next(best.itertuples())
    text = f"The rule chooses step {r.step} by {name_of(r.benchmark)}"
    if r.ties:
        ties = ", ".join(map(str, r.ties))
        text += f"; step {ties} has the same printed score, so that rounding hides which is best"
    verdict = "disagrees" if r.step != claim.value else "caveat" if r.ties else "agrees"
    return verdict, f"{text}."


def _all_runs(claim: Claim) -> tuple[str, str]:
    steps = claim.claims[claim.claims["quantity"] == "best_step"]
    named = set(steps[RUN_COLUMNS].itertuples(index=False, name=None))
    missing = []
    for r in best_checkpoints(claim.cells).itertuples():
        if (r.student, r.teacher, r.domain) not in named:
            score = f"{name_of(r.benchmark)} {r.accuracy:g}%"
            missing.append(f"{name_of(r.teacher)} {r.domain} (best step {r.step}: {score})")
    if missing:
        return "caveat", f"Left out: {', '.join(missing)}."
    return "agrees", "It has every run."


def _degraded(claim: Claim) -> tuple[str, str]:
    flagged = claim.cells["flagged"].astype(bool)
    others = claim.cells[~flagged].itertuples()
    plain = [f"{name_of(r.benchmark)} {printed(r)} ({_run(r)})" for r in others]
    text = f"{flagged.sum()} of {len(flagged)} such numbers carry the asterisk"
    if plain:
        return "caveat", f"{text}; not {', '.join(plain)}."
    return "agrees", f"{text}."


def _every(claim: Claim) -> tuple[str, str]:
    n, other = len(claim.cells), claim.cells[claim.cells["accuracy"] != claim.value]
    if len(other):
        differ = ", ".join(f"{printed(r)} at step {r.step}" for r in other.itertuples())
        return "disagrees", f"{len(other)} of {n} checkpoints differ: {differ}."
    return "agrees", f"All {n} checkpoints have {claim.value:g}%."


def _change(claim: Claim) -> tuple[str, str]:
    found = list(changes(claim.cells, claim.table))
    if len(found) != 1:
        return "not reported", f"The tables have {len(found)} such differences."
    r, b, _ = found[0]
    change = round(r.accuracy - b.accuracy, 1)
    text = f"{printed(b)} → {printed(r)} at step {r.step}: {change:+g} points."
    return ("agrees" if change == claim.value else "disagrees"), text


def _no_loss(claim: Claim) -> tuple[str, str]:
    """Whether anything falls, and whether beyond noise: p values by Holm over all of them."""
    numbers = _judged(claim, "not lower")
    fall = numbers[numbers["difference"] < 0]
    beyond = fall["p_holm"] < 0.05
    text = (
        f"{len(fall)} of {len(numbers)} numbers are below the baseline, {beyond.sum()} of them "
        "beyond noise (Holm)"
    )
    if fall.empty:
        return "agrees", f"{text}."
    lost = ", ".join(f"{r.comparison} {points(r)}" for r in fall.itertuples())
    return ("disagrees" if beyond.any() else "caveat"), f"{text}: {lost}."


def _no_gain(claim: Claim) -> tuple[str, str]:
    """Whether a gain is above the margin, or at least beyond noise. Any of so many checkpoints may
    be above by chance: p values by Holm over all of them."""
    numbers = _judged(claim, "not higher")
    gains = numbers[(numbers["difference"] > 0) & (numbers["p_holm"] < 0.05)]
    large = (numbers["verdict"] == "contradicted").sum()
    text = f"{len(gains)} of {len(numbers)} gains over the baseline are beyond noise (Holm)"
    if gains.empty:
        return "agrees", f"{text}."
    most = next(gains.loc[[gains["difference"].idxmax()]].itertuples())
    return ("disagrees" if large else "caveat"), (
        f"{text}, {large} shown to be above {most.margin:g} points; the most is {most.comparison}: "
        f"{most.second:g}% → {most.first:g}%, {points(most)}, {p_value(most.p_holm)}."
    )


def _judged(claim: Claim, about: str) -> pd.DataFrame:
    """comparisons.judge of what is claimed about the change of every cell from its baseline."""
    rows: list[dict] = []
    for r, b, _ in changes(claim.cells, claim.table):
        name = name_of(r.benchmark) if claim.step == "best" else f"{_run(r)} step {r.step}"
        rows += comparisons.against(name, about, shares(r), shares(b))
    return comparisons.judge(rows)


def _better_teacher(claim: Claim) -> tuple[str, str]:
    """At the best checkpoints of each teacher's runs, in every domain and benchmark."""
    best = claim.best[claim.best["student"] == claim.student]
    rows, good = [], []
    for domain in best["domain"].unique():
        steps = best[best["domain"] == domain].set_index("teacher")["step"]
        for benchmark in (names[0] for names in RULE.values()):
            score = {}
            for teacher, step in steps.items():
                values = [claim.student, teacher, domain, benchmark, step]
                own = is_equal(claim.table, [*RUN_COLUMNS, "benchmark", "step"], values)
                score[teacher] = claim.table[own]["accuracy"].iloc[0]
            others = [value for teacher, value in score.items() if teacher != claim.teacher]
            good.append(all(score[claim.teacher] > value for value in others))
            scores = ", ".join(f"{name_of(t)} {value:g}%" for t, value in score.items())
            rows.append(f"{domain}, {name_of(benchmark)}: {scores}")
    rates = best.groupby("teacher", sort=False)["learning_rate"].unique().map(sorted)
    alike = len(set(map(tuple, rates))) == 1
    if not alike:
        each = ", ".join(f"{name_of(t)} {printed_rate(r[0])}" for t, r in rates.items())
        rows.append(f"but the learning rates differ too: {each}")
    verdict = "disagrees" if not all(good) else "agrees" if alike else "caveat"
    return verdict, "; ".join(rows) + "."


def _smaller_loss(claim: Claim) -> tuple[str, str]:
    """Per student and teacher, at the best checkpoints: code's change after math distillation,
    math's after code."""
    change = {
        (r.student, r.teacher, r.domain, r.step, r.benchmark): 100 * d.difference
        for r, _, d in changes(claim.table, claim.table)
    }
    rows, good = [], []
    for who, pair in claim.best.groupby(["student", "teacher"], sort=False):
        step = pair.set_index("domain")["step"]
        code = change[(*who, "math", step["math"], RULE["code"][0])]
        math = change[(*who, "code", step["code"], RULE["math"][0])]
        good.append(math > code)
        rows.append(f"{' '.join(map(name_of, who))}: code {code:+.1f}, math {math:+.1f}")
    return ("agrees" if all(good) else "disagrees"), "; ".join(rows) + "."


def _smaller_drop(claim: Claim) -> tuple[str, str]:
    """The student's change at the best checkpoint and at every step, against the other student so
    distilled."""
    best = claim.best
    best = best[is_equal(best, ["teacher", "domain"], [claim.teacher, claim.domain])]
    best = best.set_index("student")["step"]
    other = next(student for student in best.index if student != claim.student)
    values = [other, claim.teacher, claim.domain, claim.benchmark]
    others = claim.table[is_equal(claim.table, [*RUN_COLUMNS, "benchmark"], values)]
    own, its = (
        {r.step: 100 * d.difference for r, _, d in changes(cells, claim.table)}
        for cells in (claim.cells, others)
    )
    pairs = [("best", own[best[claim.student]], its[best[other]])]
    pairs += [(f"step {step}", own[step], its[step]) for step in own if step in its]
    rows, good = [], []
    for label, a, b in pairs:
        good.append(a > b)
        rows.append(f"{label} {a:+.1f} against {b:+.1f} ({name_of(other)})")
    verdict = "agrees" if all(good) else "caveat" if good[0] else "disagrees"
    return verdict, "; ".join(rows) + "."


QUANTITIES: dict[str, Callable[[Claim], tuple[str, str]]] = {
    "size": _size, "listed": _listed, "cell": _cell, "borrowed": _borrowed, "best": _best,
    "best_step": _best_step, "all_runs": _all_runs, "degraded": _degraded, "every": _every,
    "change": _change, "no_loss": _no_loss, "no_gain": _no_gain, "better_teacher": _better_teacher,
    "smaller_loss": _smaller_loss, "smaller_drop": _smaller_drop,
}  # fmt: skip
