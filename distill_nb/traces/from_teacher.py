"""A set of training traces from an API teacher: problems judged, asked, verified, written like a
set from the hub.

The problems are another set's, in its order, so that both teachers tell of the same ones, or a
file's. What they must not be is tested before anything is asked; what is asked, paid and verified
is in `teacher/` below the set's folder (ask.py) and outlives `overwrite`."""

from __future__ import annotations

from pathlib import Path

from distill_nb.params import names
from distill_nb.runtime import paths, provenance
from distill_nb.traces import choose, files, funnel, load, params, prompts
from distill_nb.traces.decontamination import match, statements
from distill_nb.traces.files import REJECTED, Writer
from distill_nb.traces.teacher import ask, verify
from distill_nb.traces.teacher.settings import settings

REASONS = {
    "max_tokens": "incomplete",
    "max_cost": "not_asked",
    "timeout": "wrong",
    "truncated": "incomplete",
}


def folder_of(p) -> Path:
    """Where the teacher's answers are."""
    return files.folder_of(p.dataset, p.scale) / "teacher"


def problems_of(p) -> tuple[list[dict], dict]:
    """(problems in the order in which they are taken: id, problem, prompt, answer, perhaps tests; a
    record of the source)."""
    domain = params.teacher_and_domain(p.dataset)[1]
    if names.is_set(p.source):
        rows = files.read(p.source, p.scale, ["id", "problem", "prompt", "answer"])
        file = files.folder_of(p.source, p.scale) / "train.parquet"
        return rows, {
            "source": p.source,
            "rows": len(rows),
            "sha256": {file.name: provenance.sha256_of_file(file)},
        }

    def check(row: dict, where: str) -> dict:
        if not isinstance(row.get("problem"), str) or not row["problem"].strip():
            raise ValueError(f"{where}: problem is missing or empty; give every row a problem.")
        if domain == "math" and not str(row.get("answer") or "").strip():
            raise ValueError(
                f"{where}: answer is missing; a teacher's math is graded against the known answer."
            )
        kept = {
            "id": statements.problem_id(row["problem"]),
            "problem": row["problem"].strip(),
            "answer": str(row.get("answer") or ""),
            **({"tests": row["tests"]} if row.get("tests") else {}),
        }
        function = "" if domain == "math" else verify.function_of(kept)
        starter = str(row.get("starter_code") or "")
        return kept | {"prompt": prompts.prompt_of(kept["problem"], domain, starter, function)}

    rows = load.read_rows(p.source, check, key="source")
    rows.sort(key=lambda r: choose.rank(p.seed, r["id"]))
    path = paths.resolve(p.source)
    return rows, {
        "source": paths.movable(path),
        "rows": len(rows),
        "sha256": {path.name: provenance.sha256_of_file(path)},
    }


def judge(p, problems: list[dict], evaluation: list) -> tuple[list[dict], list[dict]]:
    """(problems that may be asked, with `template_of`; rejected rows) by the evaluation sets and by
    what came before."""
    known, near = match.Evaluation(evaluation), statements.NearDuplicates(p.near_duplicate)
    good, rejected, seen = [], [], set()
    for problem in problems:
        words = statements.words(problem["problem"])
        sketch = statements.sketch(words)
        match, like = known.match(words, sketch, problem["problem"]), None
        if match and (match.kind == "contaminated" or p.same_template == "remove"):
            reason, detail = match.kind, str(match)
        elif problem["id"] in seen:
            reason, detail = "same_problem", ""
        else:
            if p.near_duplicate < 1:
                like = near.first_like(problem["id"], sketch, " ".join(statements.numbers(words)))
            reason, detail = ("near_duplicate", f"{like[0]} ({like[1]:.2f})") if like else ("", "")
        seen.add(problem["id"])
        if reason:
            rejected.append(
                {
                    "id": problem["id"],
                    "problem_id": problem["id"],
                    "reason": reason,
                    "detail": detail,
                }
            )
        else:
            good.append(problem | {"template_of": str(match or "")})
    return good, rejected


def cost(p, evaluation: list) -> ask.teacher_costs.Estimate:
    """What asking for the set would send and cost now, before anything is sent."""
    good, _ = judge(p, problems_of(p)[0], evaluation)
    return ask.estimate(settings(p), good[: p.n_examples + p.spare], folder_of(p))


def build(p, folder: Path, evaluation: list) -> tuple[dict, dict]:
    """Ask, verify, write train.parquet and rejected.parquet. Returns (funnel, what is recorded of
    the source).

    More problems are asked for those without a correct trace, while there are any. Raises
    ValueError with the estimate where max_cost is 0, and as teacher.generate does."""
    problems, source = problems_of(p)
    good, rejected = judge(p, problems, evaluation)
    wanted, s = p.n_examples + p.spare, settings(p)
    estimate = ask.estimate(s, good[:wanted], folder_of(p))
    print(estimate.text())
    if s.max_cost == 0 and estimate.next_requests:
        raise ValueError(
            "max_cost: 0 only estimates, and nothing was sent; set it to the dollars that may be "
            "spent "
            f"({estimate.text()})"
        )
    asked = min(wanted, len(good))
    made = ask.generate(s, good[:asked], folder_of(p))
    while (
        len(made) < wanted
        and asked < len(good)
        and not any(r == "max_cost" for _, r in made.rejected)
    ):
        asked += min(len(good) - asked, wanted - len(made))
        made = ask.generate(s, good[:asked], folder_of(p))
    name, domain = params.teacher_and_domain(p.dataset)
    by_id = {problem["id"]: (i, problem) for i, problem in enumerate(good)}
    kept = 0
    with Writer(folder / "train.parquet") as writer:
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
                    "teacher": name,
                    "domain": domain,
                    "source_id": row["id"],
                    "template_of": problem["template_of"],
                }
            )
            kept += 1
    for problem_id, why in made.rejected:
        reason = REASONS.get(why, why if why in funnel.REASONS else "failed")
        rejected.append(
            {"id": problem_id, "problem_id": problem_id, "reason": reason, "detail": why}
        )
    rejected += [
        {"id": g["id"], "problem_id": g["id"], "reason": "not_needed", "detail": ""}
        for g in good[asked:]
    ]
    counts: dict[str, int] = {}
    with Writer(folder / "rejected.parquet", REJECTED) as writer:
        for row in rejected:
            writer.add(row)
            counts[row["reason"]] = counts.get(row["reason"], 0) + 1
    return funnel.funnel_of(len(problems), counts, kept), source | {"teacher": s.teacher_model}
