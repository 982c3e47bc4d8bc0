"""Reasoning traces to train on: generated stand-ins for the pocket run, or a local file.

The pocket traces are synthetic: templates written here, not the output of any teacher. Two styles stand for the two
teachers: `r1` thinks at length inside <think> and checks itself, `sonnet` works the answer out in two lines. Both
styles tell of the same problems.
"""
from __future__ import annotations

import hashlib
import json
import random
import re

from . import paths
from .benchmarks import BOXED
from .benchmarks.pocket import CODE, code_prompt

NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Iris", "Jon", "Kim", "Leo", "Mia", "Ned", "Ola", "Pia"]
THINGS = ["apples", "books", "coins", "pens", "cards", "shells", "stamps", "stones", "marbles", "cups"]
# Word problems in two steps: (text, first operation, second operation) over a, b, c. `tickets` is the benchmark's own.
MATH_TEMPLATES = {
    "bought": ("{n} has {a} {t}. {n} buys {b} more and then gives away {c}. How many {t} does {n} have now?", "+", "-"),
    "boxes": ("{n} fills {s} boxes with {d} {t} each and keeps {b} {t} apart. How many {t} are there in all?", "*", "+"),
    "lost": ("There are {a} {t} on a table. {n} takes {c} of them and puts {b} others down. How many are there now?",
             "-", "+"),
    "shelves": ("A shop has {s} shelves with {d} {t} each. {n} sells {e} of the {t}. How many are left?", "*", "-"),
    "days": ("{n} finds {a} {t} on Monday, {b} on Tuesday and {c} on Wednesday. How many {t} is that in total?", "+", "+"),
    "tickets": ("A ticket costs {d} dollars. {n} buys {s} tickets and a drink for {b} dollars. How many dollars does "
                "{n} pay?", "*", "+"),
}
HELD_OUT_TEMPLATE = "tickets"


def math_problem(template: str, rng: random.Random) -> tuple[str, list[tuple[int, str, int, int]], int]:
    """One problem: its text, its two steps as (left, operation, right, result), its answer."""
    text, first, second = MATH_TEMPLATES[template]
    v = {"a": rng.randint(40, 89), "b": rng.randint(11, 39), "c": rng.randint(11, 39), "s": rng.randint(3, 9),
         "d": rng.randint(11, 29), "e": rng.randint(11, 29)}
    left, right = {"*": (v["s"], v["d"]), "+": (v["a"], v["b"]), "-": (v["a"], v["c"])}[first]
    middle = {"*": left * right, "+": left + right, "-": left - right}[first]
    last = v["e"] if template == "shelves" else v["b"] if first != "+" else v["c"]
    answer = middle + last if second == "+" else middle - last
    steps = [(left, first, right, middle), (middle, second, last, answer)]
    return text.format(n=rng.choice(NAMES), t=rng.choice(THINGS), **v), steps, answer


def problem_id(problem: str) -> str:
    """A stable id: 16 hex digits of the sha256 of the problem's text, lower case, with white space folded."""
    return hashlib.sha256(" ".join(problem.lower().split()).encode()).hexdigest()[:16]


def is_benchmark(problem: str) -> bool:
    """Whether a generated problem belongs to the benchmark: a fifth of all do, by a hash of their numbers, and training
    skips them. So no trained problem has the numbers of a benchmark problem, whatever the names and the order."""
    numbers = sorted(re.findall(r"\d+", problem))
    return int(problem_id(" ".join(numbers)), 16) % 5 == 0


def _math_trace(steps, answer, style: str) -> str:
    sign = {"*": "×", "+": "+", "-": "-"}
    lines = [f"{a} {sign[op]} {b} = {r}" for a, op, b, r in steps]
    if style == "sonnet":
        return f"{lines[0]}\n{lines[1]}\n" + rf"\boxed{{{answer}}}"
    (_, op, b, r) = steps[1]
    check = f"{r} {'-' if op == '+' else '+'} {b} = {steps[0][3]}"
    return (f"<think>\nFirst I need {lines[0]}. Then {lines[1]}. Wait, let me check: {check}. That is right.\n</think>\n"
            rf"{lines[0]} and {lines[1]}, so the answer is \boxed{{{answer}}}")


def _code_tasks():
    """(function, returns, body) of every training task: 20 kinds of one-line function, each with 20 constants."""
    for k in range(3, 23):
        yield f"add_{k}(n)", f"n plus {k}", f"n + {k}"
        yield f"times_{k}(n)", f"n multiplied by {k}", f"n * {k}"
        yield f"minus_{k}(n)", f"n minus {k}", f"n - {k}"
        yield f"remainder_{k}(n)", f"the remainder of n divided by {k}", f"n % {k}"
        yield f"is_multiple_of_{k}(n)", f"True if n is divisible by {k} and False otherwise", f"n % {k} == 0"
        yield f"is_above_{k}(n)", f"True if n is greater than {k} and False otherwise", f"n > {k}"
        yield f"is_below_{k}(n)", f"True if n is less than {k} and False otherwise", f"n < {k}"
        yield f"above_{k}(numbers)", f"a list of the numbers greater than {k}", f"[n for n in numbers if n > {k}]"
        yield f"below_{k}(numbers)", f"a list of the numbers less than {k}", f"[n for n in numbers if n < {k}]"
        yield f"all_plus_{k}(numbers)", f"a list with {k} added to every number", f"[n + {k} for n in numbers]"
        yield f"first_{k}(items)", f"the first {k} items of a list", f"items[:{k}]"
        yield f"without_first_{k}(items)", f"a list without its first {k} items", f"items[{k}:]"
        yield f"last_{k}(items)", f"the last {k} items of a list", f"items[-{k}:]"
        yield f"repeat_{k}(s)", f"the string s repeated {k} times", f"s * {k}"
        yield f"start_{k}(s)", f"the first {k} characters of the string s", f"s[:{k}]"
        yield f"longer_than_{k}(words)", f"a list of the words longer than {k} letters", f"[w for w in words if len(w) > {k}]"
        yield f"is_longer_than_{k}(s)", f"True if s is longer than {k} characters and False otherwise", f"len(s) > {k}"
        yield f"count_above_{k}(numbers)", f"how many numbers are greater than {k}", f"sum(n > {k} for n in numbers)"
        yield f"at_most_{k}(n)", f"n, but never more than {k}", f"min(n, {k})"
        yield f"at_least_{k}(n)", f"n, but never less than {k}", f"max(n, {k})"


def _code_trace(function: str, body: str, style: str) -> str:
    block = f"```python\ndef {function}:\n    return {body}\n```"
    if style == "sonnet":
        return block
    return (f"<think>\nThe function takes {function.split('(')[1][:-1]}. I can return {body} directly. Wait, is a loop "
            f"needed? No, one expression is enough.\n</think>\n{block}")


def pocket_traces(teacher: str, domain: str, n: int, seed: int) -> list[dict]:
    """n generated traces. Problems depend on domain and seed only, so both teachers tell of the same ones."""
    if teacher not in ("r1", "sonnet") or domain not in ("math", "code"):
        raise ValueError(f"dataset: pocket has no traces of teacher {teacher} in domain {domain}; choose r1 or sonnet, "
                         "and math or code.")
    rng, rows, seen = random.Random(f"pocket {domain} {seed}"), [], set()
    if domain == "code":
        asked = {f.split("(")[0] for f, _, _ in CODE}
        tasks = [t for t in _code_tasks() if t[0].split("(")[0] not in asked]
        if n > len(tasks):
            raise ValueError(f"n_examples: dataset pocket has {len(tasks)} code traces, and n_examples + n_heldout is "
                             f"{n}; lower n_examples.")
        for function, returns, body in rng.sample(tasks, n):
            problem = code_prompt(function, returns)
            rows.append({"id": problem_id(problem), "problem": problem, "answer": "",
                         "trace": _code_trace(function, body, teacher)})
        return rows
    templates = [t for t in MATH_TEMPLATES if t != HELD_OUT_TEMPLATE]
    while len(rows) < n:
        problem, steps, answer = math_problem(rng.choice(templates), rng)
        if is_benchmark(problem) or problem in seen:
            continue
        seen.add(problem)
        rows.append({"id": problem_id(problem), "problem": f"{problem}\n\n{BOXED}", "answer": str(answer),
                     "trace": _math_trace(steps, answer, teacher)})
    return rows


def _check_row(row: dict, where: str) -> dict:
    """A row of a local file as a trace; ValueError names the row, the key and the remedy."""
    messages = row.get("messages")
    if messages is not None:
        messages = [dict(m) for m in messages]
        good = len(messages) > 1 and all(isinstance(m.get("content"), str) and isinstance(m.get("role"), str)
                                         for m in messages)
        if not good or messages[-1]["role"] != "assistant" or messages[0]["role"] not in ("user", "system"):
            raise ValueError(f"{where}: messages must be a list of role and content that ends with the assistant's; "
                             "correct or remove the row.")
        return {"id": str(row.get("id") or problem_id(messages[-2]["content"])), "messages": messages}
    for key in ("problem", "trace"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise ValueError(f"{where}: {key} is missing or empty; give every row problem and trace, or messages.")
    return {"id": str(row.get("id") or problem_id(row["problem"])), "problem": row["problem"], "trace": row["trace"],
            "answer": str(row.get("answer") or "")}


def _read_file(file: str) -> list[dict]:
    path = paths.resolve(file)
    if not path.is_file():
        raise ValueError(f"dataset: there is no file {file}; give its path from the repository's root, or absolute.")
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return [_check_row(row, f"{file}: row {i}") for i, row in enumerate(pq.read_table(path).to_pylist(), 1)]
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                raise ValueError(f"{file}: line {number} is not JSON; correct or remove it.") from None
            if not isinstance(row, dict):
                raise ValueError(f"{file}: line {number} is no mapping; write one JSON object a line.")
            rows.append(_check_row(row, f"{file}: line {number}"))
    return rows


def load_traces(dataset: str, teacher: str, domain: str, n: int, seed: int) -> list[dict]:
    """The first n traces of a seeded order: [{"id", "problem", "trace", "answer"} or {"id", "messages"}].

    dataset: `pocket`, or a .jsonl or .parquet file of problem + trace or messages. Raises ValueError for a bad row,
    for fewer than n traces, and for the hub's datasets, which are not read yet."""
    if dataset == "pocket":
        return pocket_traces(teacher, domain, n, seed)
    if not dataset.endswith((".jsonl", ".parquet")):
        raise ValueError(f"dataset: {dataset} is not fetched from the hub yet; give a local .jsonl or .parquet file of "
                         "problem and trace.")
    rows = _read_file(dataset)
    if len(rows) < n:
        raise ValueError(f"{dataset}: it has {len(rows)} traces, and n_examples + n_heldout is {n}; lower n_examples.")
    random.Random(seed).shuffle(rows)
    return rows[:n]
