"""eval/accuracy.jsonl: a line for each checkpoint and benchmark as soon as all its answers are
there, for a tracker (runtime/tracking.py). Where nothing is tracked, it is not written."""

from pathlib import Path

from distill_nb.benchmarks import Task
from distill_nb.evaluation import records
from distill_nb.params import Params
from distill_nb.runtime import jsonl, paths

FILE = "accuracy.jsonl"


class AccuracyLog:
    """The lines of a run. shared: benchmark → file of the base student's records."""

    def __init__(self, p: Params, tasks: dict[str, list[Task]], shared: dict[str, Path]) -> None:
        self.p, self.shared = p, shared
        self.answers = {name: len(found) * p.n_samples for name, found in tasks.items()}
        self.file = paths.run_dir(p) / "eval" / FILE
        self.written: set[tuple[int, str]] = set()
        if p.track != "none":
            lines = jsonl.read(self.file, repair=True)
            self.written = {(line["step"], line["benchmark"]) for line in lines}

    def look(self, step: int, benchmark: str) -> None:
        """Append a part's line if it is complete and not there yet. A request that failed and is to
        be asked again keeps it back."""
        if self.p.track == "none" or (step, benchmark) in self.written:
            return
        own = paths.records_file(self.p, step, benchmark)
        found = records.once(jsonl.read(own if step else self.shared[benchmark]))
        again = any(
            r["outcome"] == "sampling_error" and not r.get("failed_for_good") for r in found
        )
        if again or len(found) < self.answers[benchmark]:
            return
        correct = sum(r["outcome"] == "correct" for r in found)
        line = {
            "step": step,
            "benchmark": benchmark,
            "accuracy": round(100 * correct / len(found), 3),
            "answers": len(found),
            "mean_tokens": round(sum(r["completion_tokens"] for r in found) / len(found), 1),
        }
        jsonl.append(self.file, [line])
        self.written.add((step, benchmark))

    def look_at_all(self, steps: list[int]) -> None:
        """As `look`, of the base student and each checkpoint."""
        for step in (0, *steps):
            for benchmark in self.answers:
                self.look(step, benchmark)
