"""The missing records of the base and all checkpoints: made by one engine, graded, written."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from distill_nb import benchmarks, grading
from distill_nb.evaluation import records
from distill_nb.evaluation.engines.types import Answer, Engine, EngineFailed, Request
from distill_nb.evaluation.proofs import Proof, proved
from distill_nb.grading import graders, loops
from distill_nb.params import Params
from distill_nb.runtime import jsonl, progress, provenance
from distill_nb.students import chat, student

RETRIES = 2  # of a request that failed
GRADED_AT_ONCE, GRADED_EVERY = 64, 10.0  # answers, or seconds: grading uses all cores


@dataclass(frozen=True)
class Job:
    """One record to be made."""

    step: int
    benchmark: str
    task: benchmarks.Task
    sample: int
    prompt: list[int]
    seed: int
    file: Path


def sample_seed(seed: int, task_id: str, sample: int) -> int:
    """A seed of its own for every problem and sample, independent of order and of batch."""
    return int(provenance.sha256_of_json([seed, task_id, sample])[:8], 16)


def missing(p: Params, step: int, tasks: dict[str, list], files: dict[str, Path]) -> list[Job]:
    """What must still be made of one checkpoint. tasks, files (of records): by benchmark."""
    jobs, tokenizer, template = [], None, chat.template_for(p.student, p.chat_template)
    for name, task_list in tasks.items():
        file = files[name]
        done = {(r["task_id"], r["sample"]) for r in records.unfinished(file)}
        for task in task_list:
            samples = [k for k in range(p.n_samples) if (task.task_id, k) not in done]
            if samples:
                tokenizer = tokenizer or student.load_tokenizer(p)
                messages = [{"role": "user", "content": task.prompt}]
                prompt = chat.prompt_ids(tokenizer, template, messages)
            for k in samples:
                seed = sample_seed(p.seed, task.task_id, k)
                jobs.append(Job(step, name, task, k, prompt, seed, file))
    return jobs


def _record(p: Params, job: Job, answer: Answer, grade: grading.Grade, engine: str) -> dict:
    saved = p.max_new_tokens - len(answer.tokens)
    return {
        **{key: getattr(p, key) for key in ("run_name", "student", "teacher", "domain")},
        "step": job.step,
        "benchmark": job.benchmark,
        "task_id": job.task.task_id,
        "sample": job.sample,
        "seed": job.seed,
        **asdict(grade),
        "finish_reason": answer.finish_reason,
        "prompt_tokens": len(job.prompt),
        "completion_tokens": len(answer.tokens),
        "loop_tokens": loops.tokens_in_loop(answer.finish_reason, answer.tokens),
        "seconds": round(answer.seconds, 3),
        "completion": answer.text,
        "engine": engine,
        "grader": grading.GRADER_VERSION,
        **({"not_generated": saved} if answer.finish_reason == "loop" else {}),
        **({"failed_for_good": True} if answer.final else {}),
    }


def _write(p: Params, jobs: list[Job], answers: list[Answer], engine: str) -> list[dict]:
    """Grade answers and append their records to their files. Returns the records."""
    good = [a for a in answers if not a.error]
    found = graders.grade_all(
        [jobs[a.number].task for a in good],
        [a.text for a in good],
        [loops.ending(a.finish_reason, a.tokens) for a in good],
        p.allow_unsafe,
        tuple(p.sandbox_packages),
    )
    grades = {a.number: grade for a, grade in zip(good, found, strict=True)}
    by_file: dict[Path, list[dict]] = {}
    for a in answers:
        failed = grading.Grade("sampling_error", "", a.error, "sampling_error", "sampling_error")
        job, grade = jobs[a.number], grades.get(a.number, failed)
        by_file.setdefault(job.file, []).append(_record(p, job, a, grade, engine))
    for file, made in by_file.items():
        jsonl.append(file, made)
    return [record for made in by_file.values() for record in made]


def _answers(engine: Engine, requests: list[Request]) -> Iterator[list[Answer]]:
    """An engine's answers. Requests that fail are asked again RETRIES times, or come as errors."""
    numbered = {r.number: r for r in requests}
    for attempt in range(RETRIES + 1):
        failed = []
        for batch in engine.answers(list(numbered.values())):
            failed += [a for a in batch if a.error and not a.final]
            yield [a for a in batch if not a.error or a.final]
        if not failed:
            return
        if attempt == RETRIES:
            yield failed
        numbered = {a.number: numbered[a.number] for a in failed}


def _gathered(batches: Iterable[list]) -> Iterator[list]:
    """The same answers in fewer lists, none kept waiting for long."""
    waiting, since, failure = [], time.monotonic(), None
    try:
        for batch in batches:
            waiting += batch
            if len(waiting) >= GRADED_AT_ONCE or time.monotonic() - since > GRADED_EVERY:
                yield waiting
                waiting, since = [], time.monotonic()
    except EngineFailed as error:
        failure = error
    if waiting:
        yield waiting
    if failure is not None:
        raise failure


def collect(
    p: Params,
    engine: Engine,
    jobs: list[Job],
    references: dict[int, dict],
    base_done: Callable[[], None] = lambda: None,
    keep: Callable[[Proof], None] = lambda made: None,
    done: Callable[[int, str], None] = lambda step, benchmark: None,
) -> list[Proof]:
    """Make the records of all jobs, checkpoint by checkpoint or all at once, as the engine serves
    them. Returns the proofs.

    references: step → what its checkpoint's trainer makes of a text (proof.read). A checkpoint that
    fails its proof is reported and not scored. base_done: called once, when the last record of step
    0 is made; keep: called with each proof, before any answer that rests on it; done: called with
    the step and benchmark of which the last record is made."""
    total = Counter(job.step for job in jobs)
    left = Counter((job.step, job.benchmark) for job in jobs)
    steps, engine_version = sorted(total), f"{engine.name} {engine.version}"
    answered: Counter[int] = Counter()
    correct: Counter[int] = Counter()
    proofs = []
    with progress.bar(total=len(jobs), desc="answers", unit="answer", mininterval=5) as bar:
        for served, found in proved(p, engine, [step for step in steps if step], references):
            for made in found:
                keep(made)
            proofs += found
            scored = {0} | {made.step for made in found if made.passed}
            requests = [
                Request(i, job.step, job.prompt, job.seed)
                for i, job in enumerate(jobs)
                if job.step in served and job.step in scored
            ]
            for answers in _gathered(_answers(engine, requests)) if requests else ():
                for record in _write(p, jobs, answers, engine_version):
                    step = record["step"]
                    answered[step] += 1
                    correct[step] += record["outcome"] == "correct"
                    left[part := (step, record["benchmark"])] -= 1
                    if not left[part]:
                        done(*part)
                    if step == 0 and answered[0] == total[0]:
                        base_done()
                bar.update(len(answers))
                shares = [f"{s}: {100 * correct[s] / answered[s]:.0f}%" for s in sorted(answered)]
                bar.set_postfix_str("correct " + ", ".join(shares))
    return proofs
