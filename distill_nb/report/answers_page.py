"""Every answer of a run on a page to read and search: runs/<scale>/<run>/answers.html.

The page opens from the disk, without a server. Beside it lies answers/: index.js says what each
answer came to, a words_….js is an index of all words (word_index.py), each text_….js has the texts
of a few problems. They are scripts because a page from the disk may not fetch files. Their names
have the hash of what they hold, so that a page never meets the texts of another time.

report/answers_runs.js names the runs of a scale that have such a folder: any two of them can be
read side by side."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.analysis.names import name_of
from distill_nb.evaluation import records
from distill_nb.evaluation.records import OUTCOMES
from distill_nb.report import markup
from distill_nb.report.word_index import WordIndex
from distill_nb.runtime import jsonl, paths
from distill_nb.runtime.files import write_text

if TYPE_CHECKING:
    from IPython.display import HTML

    from distill_nb.benchmarks import Task

PAGE, FOLDER, RUNS = "answers.html", "answers", "answers_runs.js"
VENDORED = ("katex.min.js", "katex-auto-render.min.js", "highlight.min.js")
CHUNK = 1_500_000  # characters of the texts in one script, before they are packed
HEADING = 140  # characters of a problem in the list
ANSWER = 60  # of a math answer there
READINGS = ("outcome", "lenient_outcome", "second_outcome")
# What the page shows of an answer beside its text.
SHOWN = (
    "outcome", "lenient_outcome", "second_outcome", "detail", "answer", "completion", "seed",
    "finish_reason", "prompt_tokens", "completion_tokens", "seconds", "engine", "grader",
    "sandbox_level",
)  # fmt: skip
SIGNS = {  # of each outcome, for whoever does not see its colour
    "correct": "✓", "wrong": "✗", "no_answer": "∅", "truncated": "✂", "looping": "↻",
    "timeout": "⏱", "sampling_error": "!", "grader_error": "!",
}  # fmt: skip


def write(run_dir: Path, tasks: dict[tuple[str, str], Task]) -> Path | None:
    """Write the page of a run and its scripts. Returns its place, None where there is no record.

    tasks: (benchmark, task_id) → Task; of an answer to another one the problem is not shown."""
    found = sorted(run_dir.glob("eval/step_*/*.jsonl"))
    steps = sorted({_step(file) for file in found})
    if not steps:
        return None
    made, scripts = _Index(steps), _Scripts(run_dir / FOLDER, run_dir.name)
    for benchmark in dict.fromkeys(file.stem for file in found):
        for task_id, samples in _problems({_step(f): f for f in found if f.stem == benchmark}):
            texts = made.add(benchmark, task_id, samples, tasks.get((benchmark, task_id)))
            scripts.add(len(made.problems) - 1, texts)
    scripts.close()
    words = scripts.write("words", "answersWords", made.words.encoded())
    listed = [run_dir.name, made.listed(scripts, words)]
    _script(run_dir / FOLDER / "index.js", "answersIndex", listed)
    for file in (run_dir / FOLDER).glob("*_*.js"):
        if file.name not in scripts.names:
            file.unlink()
    list_runs(run_dir.parent)
    page = run_dir / PAGE
    outcomes = [{"key": key, "sign": SIGNS[key]} for key in OUTCOMES]
    text = markup.fill(
        "answers.html.j2",
        run=run_dir.name,
        outcomes=outcomes,
        runs=f"../report/{RUNS}",
        index="../report/index.html",
        vendored=[markup.vendored(name) for name in VENDORED],
    )
    write_text(page, text)
    return page


def show(run_dir: Path, tasks: dict[tuple[str, str], Task]) -> HTML:
    """`write`, and a link to the page, which stands beside the executed notebook."""
    from IPython.display import HTML

    page = write(run_dir, tasks)
    if page is None:
        return HTML("<p>Nothing is evaluated yet.</p>")
    place = escape(paths.movable(page))
    return HTML(f'<p><a href="{PAGE}">Read and search all answers</a>: {place}</p>')


def list_runs(scale_dir: Path) -> None:
    """Write the names of the runs whose answers can be read, for the pages of all of them."""
    names = sorted(file.parents[1].name for file in scale_dir.glob(f"*/{FOLDER}/index.js"))
    _script(scale_dir / "report" / RUNS, "answersRuns", names)


def _step(file: Path) -> int:
    return int(file.parent.name.removeprefix("step_"))


Samples = dict[int, dict[int, dict]]  # sample → step → record


def _problems(files: dict[int, Path]) -> Iterator[tuple[str, Samples]]:
    """The records of one benchmark (step → file) by problem, in the order of the first file."""
    found: dict[str, Samples] = {}
    for step, file in sorted(files.items()):
        for record in records.once(jsonl.read(file)):
            samples = found.setdefault(record["task_id"], {})
            samples.setdefault(record["sample"], {})[step] = record
    yield from found.items()


@dataclass
class _Index:
    """What index.js and the index of words say: a row a problem and sample."""

    steps: list[int]
    benchmarks: list[str] = field(default_factory=list)
    problems: list[list] = field(default_factory=list)  # [benchmark's number, task_id, heading]
    rows: list[list[int]] = field(default_factory=list)  # [problem, sample]
    answers: list[dict[int, dict]] = field(default_factory=list)  # of each row, by step
    words: WordIndex = field(default_factory=WordIndex)

    def add(self, benchmark: str, task_id: str, samples: Samples, task: Task | None) -> dict:
        """Add a problem with its records. Returns its texts. The numbers in the index of words: of
        row r, with s steps, r (s + 1) is the problem, and one more for each step its answer."""
        if benchmark not in self.benchmarks:
            self.benchmarks.append(benchmark)
        prompt = task.prompt if task else ""
        texts: dict = {"problem": prompt, "gold": task.gold if task else "", "answers": {}}
        if task and "assert" in task.tests:  # not the hash of tests that lie elsewhere
            texts["tests"] = task.tests
        heading = " ".join(prompt.split())[:HEADING]
        self.problems.append([self.benchmarks.index(benchmark), task_id, heading])
        for sample, by_step in sorted(samples.items()):
            number = len(self.rows) * (len(self.steps) + 1)
            self.rows.append([len(self.problems) - 1, sample])
            self.words.add(number, f"{task_id} {prompt}")
            row = {}
            for step, r in by_step.items():
                text = f"{r['completion']} {r['answer']} {r.get('detail', '')}"
                self.words.add(number + 1 + self.steps.index(step), text)
                math = bool(texts["gold"])
                row[step] = {key: r.get(key) for key in (*READINGS, "completion_tokens")} | {
                    "answer": r["answer"][:ANSWER] if math else ""
                }
            self.answers.append(row)
            shown = {s: {k: r[k] for k in SHOWN if k in r} for s, r in by_step.items()}
            texts["answers"][sample] = shown
        return texts

    def listed(self, scripts: _Scripts, words: str) -> dict:
        """The content of index.js: by step a column of each thing that the list shows or sorts by,
        outcomes as digits in the order of OUTCOMES, - where there is no answer."""
        columns: dict[str, dict[int, object]] = {}
        for step in self.steps:
            column = [row.get(step) for row in self.answers]
            for key in READINGS:
                signs = (str(OUTCOMES.index(a[key])) if a and a[key] else "-" for a in column)
                columns.setdefault(key, {})[step] = "".join(signs)
            columns.setdefault("tokens", {})[step] = [a and a["completion_tokens"] for a in column]
            columns.setdefault("answer", {})[step] = [a["answer"] if a else "" for a in column]
        return {
            "steps": self.steps,
            "benchmarks": [[key, name_of(key)] for key in self.benchmarks],
            "problems": [[*p, scripts.of_problem[i]] for i, p in enumerate(self.problems)],
            "rows": self.rows,
            "texts": scripts.texts,
            "words": words,
            **columns,
        }


@dataclass
class _Scripts:
    """Writes scripts whose names have their hash; those that are there already are left alone."""

    folder: Path
    run: str
    texts: list[str] = field(default_factory=list)  # names of scripts of texts
    of_problem: dict[int, int] = field(default_factory=dict)  # problem → which of `texts`
    names: set[str] = field(default_factory=set)
    _waiting: dict[int, str] = field(default_factory=dict)

    def add(self, problem: int, texts: dict) -> None:
        """Add the texts of a problem, and write a script when there are enough."""
        self._waiting[problem] = json.dumps(texts, ensure_ascii=False)
        if sum(map(len, self._waiting.values())) > CHUNK:
            self.close()

    def close(self) -> None:
        """Write the script of the texts that wait for one."""
        if self._waiting:
            self.of_problem |= dict.fromkeys(self._waiting, len(self.texts))
            parts = (f'"{number}":{text}' for number, text in self._waiting.items())
            data = ("{" + ",".join(parts) + "}").encode(errors="replace")
            self.texts.append(self.write("text", "answersText", data))
            self._waiting = {}

    def write(self, kind: str, function: str, data: bytes) -> str:
        """Write a script that hands over packed bytes. Returns its name."""
        name = f"{kind}_{hashlib.sha256(data).hexdigest()[:16]}.js"
        self.names.add(name)
        if not (self.folder / name).is_file():
            packed = base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()
            _script(self.folder / name, function, [self.run, name, packed])
        return name


def _script(file: Path, function: str, value: list) -> None:
    """A file that calls a function of the page with a list."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    write_text(file, f"{function}({text});\n")
