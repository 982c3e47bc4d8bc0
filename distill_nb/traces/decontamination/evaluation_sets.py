"""The statements of the evaluation sets' problems, which no training set may hold."""

from distill_nb.benchmarks import (
    BOXED,
    evalplus_data,
    gpqa_diamond,
    livecodebench,
    loading,
    sources,
)
from distill_nb.params import benchmark_name
from distill_nb.traces.decontamination.examples import described
from distill_nb.traces.decontamination.match import Statements


def problems(name: str, file: str | None = None) -> Statements:
    """[(benchmark, task id, statement)] of a whole evaluation set, whatever part of it is
    evaluated. Raises ValueError where it is missing."""
    if name in ("humaneval_plus", "mbpp_plus"):
        rows = evalplus_data.problems(name, file)
        found = {i: described(row["prompt"]) for i, row in rows.items()}
    elif name == "gpqa_diamond":
        found = {t.task_id: gpqa_diamond.question(t) for t in loading.load(name, file)}
    elif name == "livecodebench":
        found = _livecodebench(file)
    else:
        found = {t.task_id: t.prompt.removesuffix(BOXED) for t in loading.load(name, file)}
    return [(benchmark_name(name), i, text) for i, text in found.items()]


def _livecodebench(file: str | None) -> dict[str, str]:
    files, _ = sources.locate(
        "livecodebench", file, livecodebench.HUB_ID, livecodebench.REVISION, livecodebench.FILES
    )
    found: dict[str, str] = {}
    for path in files:
        keys = ("question_id", "question_content")
        for _, row in sources.rows(path, livecodebench.HUB_ID, keys):
            found[row["question_id"]] = row["question_content"]
    return found
