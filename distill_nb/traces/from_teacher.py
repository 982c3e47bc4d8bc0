"""A set of training traces from an API teacher: problems judged, asked, verified, written like a
set from the hub.

The problems are another set's, in its order, so that both teachers solve the same ones, or a
file's. They are tested before anything is asked. What is asked, paid and verified is in `teacher/`
below the set's folder (generation.py) and outlives `overwrite`."""

import logging
from pathlib import Path

from distill_nb.params import names
from distill_nb.runtime import paths, provenance
from distill_nb.traces import files, funnel, load, prompts, selection
from distill_nb.traces.decontamination import match, statements
from distill_nb.traces.params import TraceParams, teacher_and_domain
from distill_nb.traces.teacher import costs, generation, verify
from distill_nb.traces.teacher.settings import settings

log = logging.getLogger(__name__)

REASONS = {
    "max_tokens": "incomplete",
    "max_cost": "not_asked",
    "timeout": "wrong",
    "truncated": "incomplete",
}


def folder_of(p: TraceParams) -> Path:
    """Where the teacher's answers are."""
    return files.folder_of(p.dataset, p.scale) / "teacher"


def problems_of(p: TraceParams) -> tuple[list[dict], dict]:
    """(problems in the order in which they are taken: id, problem, prompt, answer, perhaps tests; a
    record of the source)."""
    if names.is_set(p.source):
        rows = files.read(p.source, p.scale, ["id", "problem", "prompt", "answer"])
        file, source = files.folder_of(p.source, p.scale) / "train.parquet", p.source
    else:
        domain = teacher_and_domain(p.dataset)[1]
        rows = load.read_rows(p.source, lambda r, where: _problem(r, where, domain), key="source")
        rows.sort(key=lambda r: selection.rank(p.seed, r["id"]))
        file = paths.resolve(p.source)
        source = paths.movable(file)
    return rows, {
        "source": source,
        "rows": len(rows),
        "sha256": {file.name: provenance.sha256_of_file(file)},
    }


def _problem(row: dict, where: str, domain: str) -> dict:
    """A row of a file as a problem; ValueError names the row, the key and the remedy."""
    if not isinstance(row.get("problem"), str) or not row["problem"].strip():
        raise ValueError(f"{where}: problem is missing or empty; give every row a problem.")
    if domain == "math" and not str(row.get("answer") or "").strip():
        raise ValueError(
            f"{where}: answer is missing; a teacher's math is graded against the known answer."
        )
    problem = {
        "id": statements.problem_id(row["problem"]),
        "problem": row["problem"].strip(),
        "answer": str(row.get("answer") or ""),
    }
    if row.get("tests"):
        problem["tests"] = row["tests"]
    function = "" if domain == "math" else verify.function_of(problem)
    starter = str(row.get("starter_code") or "")
    problem["prompt"] = prompts.prompt_of(problem["problem"], domain, starter, function)
    return problem


def judge(
    p: TraceParams, problems: list[dict], evaluation: list[tuple[str, str, str]]
) -> tuple[list[dict], list[dict]]:
    """(problems that may be asked, with `template_of`; rejected rows) by the evaluation sets and by
    what came before."""
    known = match.EvaluationProblems(evaluation)
    near = statements.NearDuplicates(p.near_duplicate)
    good, rejected, seen = [], [], set()
    for problem in problems:
        words = statements.words(problem["problem"])
        sketch = statements.sketch(words)
        numbers = " ".join(statements.numbers(words))
        matched = known.match(words, sketch, problem["problem"])
        if matched and (matched.kind == "contaminated" or p.same_template == "remove"):
            rejected.append(_rejected(problem["id"], matched.kind, str(matched)))
        elif problem["id"] in seen:
            rejected.append(_rejected(problem["id"], "same_problem"))
        elif p.near_duplicate < 1 and (like := near.first_like(problem["id"], sketch, numbers)):
            rejected.append(
                _rejected(problem["id"], "near_duplicate", f"{like[0]} ({like[1]:.2f})")
            )
        else:
            good.append(problem | {"template_of": str(matched or "")})
        seen.add(problem["id"])
    return good, rejected


def _rejected(problem_id: str, reason: str, detail: str = "") -> dict:
    """A row of rejected.parquet."""
    return {"id": problem_id, "problem_id": problem_id, "reason": reason, "detail": detail}


def cost(p: TraceParams, evaluation: list[tuple[str, str, str]]) -> costs.Estimate:
    """What asking for the set would send and cost now, before anything is sent."""
    good, _ = judge(p, problems_of(p)[0], evaluation)
    return generation.estimate(settings(p), good[: p.n_examples + p.spare], folder_of(p))


def build(
    p: TraceParams, folder: Path, evaluation: list[tuple[str, str, str]]
) -> tuple[dict, dict]:
    """Ask, verify, write train.parquet and rejected.parquet. Returns (funnel, what is recorded of
    the source).

    More problems are asked for those without a correct trace, while there are any. Raises
    ValueError with the estimate where max_cost is 0, and as generation.generate does."""
    problems, source = problems_of(p)
    good, rejected = judge(p, problems, evaluation)
    wanted, s = p.n_examples + p.spare, settings(p)
    estimate = generation.estimate(s, good[:wanted], folder_of(p))
    log.info(estimate.text())
    if s.max_cost == 0 and estimate.next_requests:
        raise ValueError(
            "max_cost: 0 only estimates, and nothing was sent; set it to the dollars that may be "
            f"spent ({estimate.text()})"
        )
    asked = min(wanted, len(good))
    made = generation.generate(s, good[:asked], folder_of(p))
    while len(made) < wanted and asked < len(good) and not made.stopped_by_cost:
        asked += min(len(good) - asked, wanted - len(made))
        made = generation.generate(s, good[:asked], folder_of(p))
    kept = _write_train(p, folder, good, made)
    for problem_id, why in made.rejected:
        reason = REASONS.get(why, why if why in funnel.REASONS else "failed")
        rejected.append(_rejected(problem_id, reason, why))
    rejected += [_rejected(problem["id"], "not_needed") for problem in good[asked:]]
    counts = files.write_rejected(folder, rejected)
    return funnel.funnel_of(len(problems), counts, kept), source | {"teacher": s.teacher_model}


def _write_train(p: TraceParams, folder: Path, good: list[dict], made: generation.Generated) -> int:
    """Write what the teacher made of the good problems; returns how many rows."""
    teacher, domain = teacher_and_domain(p.dataset)
    by_id = {problem["id"]: (i, problem) for i, problem in enumerate(good)}
    with files.Writer(folder / "train.parquet") as writer:
        for row in made.rows():
            i, problem = by_id[row["id"]]
            writer.add(
                {
                    "id": row["id"],
                    "order": i,
                    "problem": row["problem"],
                    "prompt": row["prompt"],
                    "trace": row["trace"],
                    "answer": row["answer"],
                    "teacher": teacher,
                    "domain": domain,
                    "source_id": row["id"],
                    "template_of": problem["template_of"],
                }
            )
    return len(made)
