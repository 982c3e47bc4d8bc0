"""A set of training traces from an API teacher: problems judged, asked, verified, written like a
set from the hub.

The problems are another set's, in its order, so that both teachers solve the same ones, or a
file's. What is asked, paid and verified is in `teacher/` below the set's folder (generation.py) and
outlives `overwrite`."""

import logging
from collections.abc import Iterator
from pathlib import Path

from distill_nb.params import names
from distill_nb.runtime import paths, provenance
from distill_nb.runtime.shard import Shard
from distill_nb.traces import files, funnel, load, prompts, rows, selection
from distill_nb.traces.decontamination import statements
from distill_nb.traces.decontamination.match import EvaluationProblems, Statements
from distill_nb.traces.params import TraceParams, teacher_and_domain
from distill_nb.traces.teacher import clients, costs, generation, retired, store, verify
from distill_nb.traces.teacher.settings import settings

log = logging.getLogger(__name__)

REASONS = {  # of a teacher's, in a funnel's words
    "max_tokens": "incomplete", "max_cost": "not_asked", "timeout": "wrong",
    "truncated": "incomplete",
}  # fmt: skip
# What a row of a file of problems may hold beside bookkeeping; another teacher's trace is not read.
KEYS = ("problem", "answer", "tests", "starter_code", "trace", *rows.REASONING)


def folder_of(p: TraceParams) -> Path:
    """Where the teacher's answers are."""
    return files.folder_of(p.dataset, p.scale) / "teacher"


def problems_of(p: TraceParams) -> tuple[list[dict], dict]:
    """(problems in the order in which they are taken: id, problem, prompt, answer, perhaps tests; a
    record of the source)."""
    if names.is_set(p.source):
        found = files.read(p.source, p.scale, ["id", "problem", "prompt", "answer"])
        file, source = files.folder_of(p.source, p.scale) / "train.parquet", p.source
    else:
        domain = teacher_and_domain(p.dataset)[1]
        found = load.read_rows(p.source, lambda r, where: _problem(r, where, domain), key="source")
        found.sort(key=lambda r: selection.rank(p.seed, r["id"]))
        file = paths.resolve(p.source)
        source = paths.movable(file)
    sha256 = {file.name: provenance.sha256_of_file(file)}
    return found, {"source": source, "rows": len(found), "sha256": sha256}


def _problem(row: dict, where: str, domain: str) -> dict:
    """A row of a file as a problem."""
    rows.refuse_unknown(row, where, KEYS, rows.IN_A_SOURCE)
    text = rows.text_of(row, "problem", where, "give every row a problem").strip()
    answer = rows.answer_of(row, where)
    if domain == "math" and rows.is_blank(answer):
        raise ValueError(
            f"{where}: answer is missing; a teacher's math is graded against the known answer."
        )
    problem = {"id": statements.problem_id(row["problem"]), "problem": text, "answer": answer}
    if row.get("tests"):
        problem["tests"] = row["tests"]
    try:
        function = "" if domain == "math" else verify.function_of(problem)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    starter = row.get("starter_code") or ""
    if not isinstance(starter, str):
        raise ValueError(f"{where}: starter_code is no text; write the code as text.")
    problem["prompt"] = prompts.prompt_of(text, domain, starter, function)
    return problem


def judge(
    p: TraceParams, problems: list[dict], evaluation: Statements
) -> tuple[list[dict], list[dict]]:
    """(problems that may be asked, with `template_of`; rejected rows)."""
    known = EvaluationProblems(evaluation)
    near = statements.NearDuplicates(p.near_duplicate)
    good, rejected, seen = [], [], set()
    for problem in problems:
        i, words = problem["id"], statements.words(problem["problem"])
        sketch = statements.sketch(words)
        numbers = " ".join(statements.numbers(words))
        matched = known.match(problem["problem"], words)
        if matched and (matched.kind == "contaminated" or p.same_template == "remove"):
            rejected.append(_rejected(i, matched.kind, str(matched)))
        elif i in seen:
            rejected.append(_rejected(i, "same_problem"))
        elif p.near_duplicate < 1 and (like := near.first_like(i, sketch, numbers)):
            rejected.append(_rejected(i, "near_duplicate", f"{like[0]} ({like[1]:.2f})"))
        else:
            good.append(problem | {"template_of": str(matched or "")})
        seen.add(i)
    return good, rejected


def _rejected(problem_id: str, reason: str, detail: str = "") -> dict:
    """A row of rejected.parquet."""
    return {"id": problem_id, "problem_id": problem_id, "reason": reason, "detail": detail}


def cost(p: TraceParams, evaluation: Statements) -> costs.Estimate:
    """What asking for the set would send and cost now."""
    good, _ = judge(p, problems_of(p)[0], evaluation)
    return generation.estimate(settings(p), good[: p.n_examples + p.spare], folder_of(p))


def asked_again(p: TraceParams) -> int:
    """How many problems of a finished set failed for what was the account's or the server's and not
    theirs, as an earlier version recorded it: they can be asked again."""
    import pandas as pd

    rejected = pd.read_parquet(files.folder_of(p.dataset, p.scale) / "rejected.parquet")
    failed = rejected.loc[rejected["reason"] == "failed", "id"]
    return len(store.opened_again(folder_of(p), failed, p.attempts))


def ask(p: TraceParams, evaluation: Statements, shard: Shard) -> None:
    """Ask about a shard of the problems of a set. Raises ValueError as clients.ask does."""
    problems, _ = problems_of(p)
    good, _ = judge(p, problems, evaluation)
    _check_given_up(p, {problem["id"] for problem in problems})
    wanted, s = good[: p.n_examples + p.spare], settings(p)
    place = clients.folder(folder_of(p), shard)
    known = place if place.is_dir() else folder_of(p)
    if generation.estimate(s, shard.every(wanted), known).next_requests:
        retired.refuse(s.teacher_model, s.teacher_url, p.dataset)
    clients.ask(s, wanted, folder_of(p), shard)


def build(p: TraceParams, folder: Path, evaluation: Statements) -> tuple[dict, dict]:
    """Ask, verify, write train.parquet and rejected.parquet. Returns (funnel, source's record).
    More problems are asked for those without a correct trace, while there are any.

    Raises ValueError with the estimate where max_cost is 0, and as generation.generate does."""
    problems, source = problems_of(p)
    good, rejected = judge(p, problems, evaluation)
    wanted, s = p.n_examples + p.spare, settings(p)
    clients.merge(folder_of(p))
    _check_given_up(p, {problem["id"] for problem in problems})
    estimate = generation.estimate(s, good[:wanted], folder_of(p))
    log.info(estimate.text())
    if estimate.next_requests:
        retired.refuse(s.teacher_model, s.teacher_url, p.dataset)
    if s.max_cost == 0 and estimate.next_requests:
        raise ValueError(
            "max_cost: 0 only estimates, and nothing was sent; set it to the dollars that may be "
            f"spent ({estimate.text()})"
        )
    asked = min(wanted, len(good))
    made = generation.generate(s, good[:asked], folder_of(p))
    while len(made) < wanted and asked < len(good) and not made.stopped_by_cost:
        retired.refuse(s.teacher_model, s.teacher_url, p.dataset)
        asked += min(len(good) - asked, wanted - len(made))
        made = generation.generate(s, good[:asked], folder_of(p))
    kept = files.write(folder / "train.parquet", _rows(p, good, made))
    for problem_id, why in made.rejected:
        reason = REASONS.get(why, why if why in funnel.REASONS else "failed")
        rejected.append(_rejected(problem_id, reason, why))
    rejected += [_rejected(problem["id"], "not_needed") for problem in good[asked:]]
    counts = files.write_rejected(folder, rejected)
    return funnel.funnel_of(len(problems), counts, kept), source | {"teacher": s.teacher_model}


def _check_given_up(p: TraceParams, ids: set[str]) -> None:
    """Raises ValueError where the user gave up a problem that is none of the source's."""
    unknown = sorted(store.given_up(folder_of(p)) - ids)
    if unknown:
        raise ValueError(
            f"{p.dataset}/teacher/give_up.txt: {unknown[0]} is the id of no problem of {p.source}; "
            "correct or remove the line."
        )


def _rows(p: TraceParams, good: list[dict], made: generation.Generated) -> Iterator[dict]:
    """Yield the rows of train.parquet: what the teacher made of the good problems."""
    teacher, domain = teacher_and_domain(p.dataset)
    by_id = {problem["id"]: (i, problem["template_of"]) for i, problem in enumerate(good)}
    for row in made.rows():
        order, template = by_id[row["id"]]
        set_row = {"order": order, "teacher": teacher, "domain": domain, "template_of": template}
        yield row | set_row | {"source_id": row["id"]}
