"""Generated traces for the pocket run: templates written here, not the output of any teacher.

They are terse worked answers. For the teacher `r1` they think at length inside <think>, and check
themselves. A run learns from them under the teacher `generator`, or in place of its own teacher's.
`write_hub_file` puts the traces into the shape of the hub's data sets, with bad rows among them, so
that traces.ipynb has something to read where there is no hub."""

import random
from pathlib import Path

from distill_nb.benchmarks import BOXED, pocket_problems

# Training's one-line functions: (name and argument, what it returns, body) over a constant k.
CODE_KINDS = [
    ("add_{k}(n)", "n plus {k}", "n + {k}"),
    ("times_{k}(n)", "n multiplied by {k}", "n * {k}"),
    ("minus_{k}(n)", "n minus {k}", "n - {k}"),
    ("from_{k}(n)", "{k} minus n", "{k} - n"),
    ("power_{k}(n)", "n to the power of {k}", "n ** {k}"),
    ("whole_{k}(n)", "n divided by {k}, rounded down", "n // {k}"),
    ("remainder_{k}(n)", "the remainder of n divided by {k}", "n % {k}"),
    ("twice_plus_{k}(n)", "two times n plus {k}", "2 * n + {k}"),
    ("distance_to_{k}(n)", "the distance between n and {k}", "abs(n - {k})"),
    ("at_most_{k}(n)", "n, but never more than {k}", "min(n, {k})"),
    ("at_least_{k}(n)", "n, but never less than {k}", "max(n, {k})"),
    ("is_{k}(n)", "True if n equals {k} and False otherwise", "n == {k}"),
    ("is_not_{k}(n)", "True if n is not {k} and False otherwise", "n != {k}"),
    ("is_above_{k}(n)", "True if n is greater than {k} and False otherwise", "n > {k}"),
    ("is_below_{k}(n)", "True if n is less than {k} and False otherwise", "n < {k}"),
    ("is_multiple_of_{k}(n)", "True if n is divisible by {k} and False otherwise", "n % {k} == 0"),
    ("above_{k}(numbers)", "a list of the numbers greater than {k}", "[n for n in numbers if n > {k}]"),  # noqa: E501
    ("below_{k}(numbers)", "a list of the numbers less than {k}", "[n for n in numbers if n < {k}]"),  # noqa: E501
    ("multiples_of_{k}(numbers)", "a list of the numbers divisible by {k}", "[n for n in numbers if n % {k} == 0]"),  # noqa: E501
    ("all_plus_{k}(numbers)", "a list with {k} added to every number", "[n + {k} for n in numbers]"),  # noqa: E501
    ("all_times_{k}(numbers)", "a list with every number multiplied by {k}", "[n * {k} for n in numbers]"),  # noqa: E501
    ("count_above_{k}(numbers)", "how many numbers are greater than {k}", "sum(n > {k} for n in numbers)"),  # noqa: E501
    ("count_below_{k}(numbers)", "how many numbers are less than {k}", "sum(n < {k} for n in numbers)"),  # noqa: E501
    ("sum_above_{k}(numbers)", "the sum of the numbers greater than {k}", "sum(n for n in numbers if n > {k})"),  # noqa: E501
    ("sum_plus_{k}(numbers)", "the sum of the numbers, plus {k}", "sum(numbers) + {k}"),
    ("any_above_{k}(numbers)", "True if any number is greater than {k}", "any(n > {k} for n in numbers)"),  # noqa: E501
    ("all_below_{k}(numbers)", "True if every number is less than {k}", "all(n < {k} for n in numbers)"),  # noqa: E501
    ("first_{k}(items)", "the first {k} items of a list", "items[:{k}]"),
    ("without_first_{k}(items)", "a list without its first {k} items", "items[{k}:]"),
    ("last_{k}(items)", "the last {k} items of a list", "items[-{k}:]"),
    ("without_last_{k}(items)", "a list without its last {k} items", "items[:-{k}]"),
    ("every_{k}(items)", "the items of a list whose index is a multiple of {k}", "items[::{k}]"),
    ("append_{k}(items)", "the list with {k} at its end", "items + [{k}]"),
    ("how_often_{k}(items)", "how often {k} is in the list", "items.count({k})"),
    ("has_{k}_items(items)", "True if the list has {k} items and False otherwise", "len(items) == {k}"),  # noqa: E501
    ("repeat_{k}(s)", "the string s repeated {k} times", "s * {k}"),
    ("start_{k}(s)", "the first {k} characters of the string s", "s[:{k}]"),
    ("end_{k}(s)", "the last {k} characters of the string s", "s[-{k}:]"),
    ("skip_{k}(s)", "the string s without its first {k} characters", "s[{k}:]"),
    ("is_longer_than_{k}(s)", "True if s is longer than {k} characters and False otherwise", "len(s) > {k}"),  # noqa: E501
    ("longer_than_{k}(words)", "a list of the words longer than {k} letters", "[w for w in words if len(w) > {k}]"),  # noqa: E501
    ("shorter_than_{k}(words)", "a list of the words shorter than {k} letters", "[w for w in words if len(w) < {k}]"),  # noqa: E501
]  # fmt: skip


def _math_trace(steps: list[tuple[int, str, int, int]], answer: int, thinking: bool) -> str:
    sign = {"*": "×", "+": "+", "-": "-"}
    lines = [f"{a} {sign[op]} {b} = {r}" for a, op, b, r in steps]
    if not thinking:
        return f"{lines[0]}\n{lines[1]}\n" + rf"\boxed{{{answer}}}"
    (_, op, b, r) = steps[1]
    check = f"{r} {'-' if op == '+' else '+'} {b} = {steps[0][3]}"
    return (
        f"<think>\nFirst I need {lines[0]}. Then {lines[1]}. Wait, let me check: {check}. That is "
        "right.\n</think>\n"
        rf"{lines[0]} and {lines[1]}, so the answer is \boxed{{{answer}}}"
    )


def _code_trace(function: str, body: str, thinking: bool) -> str:
    block = f"```python\ndef {function}:\n    return {body}\n```"
    if not thinking:
        return block
    return (
        f"<think>\nThe function takes {function.split('(')[1][:-1]}. I can return {body} directly. "
        f"Wait, is a loop needed? No, one expression is enough.\n</think>\n{block}"
    )


def pocket_traces(teacher: str, domain: str, n: int, seed: int) -> list[dict]:
    """n generated traces. Problems depend on domain and seed alone, not on the teacher."""
    if domain not in ("math", "code"):
        raise ValueError(f"dataset: pocket has no traces in domain {domain}; choose math or code.")
    rng, thinking = random.Random(f"pocket {domain} {seed}"), teacher == "r1"
    return _math_traces(thinking, n, rng) if domain == "math" else _code_traces(thinking, n, rng)


def _code_traces(thinking: bool, n: int, rng: random.Random) -> list[dict]:
    asked = {f.split("(")[0] for f, _, _ in pocket_problems.CODE}
    tasks = []
    for kind in CODE_KINDS:
        for k in range(2, 23):
            function, returns, body = (part.format(k=k) for part in kind)
            if function.split("(")[0] not in asked:
                tasks.append((function, returns, body))
    if n > len(tasks):
        raise ValueError(
            f"n_examples: dataset pocket has {len(tasks)} code traces, and n_examples + n_heldout "
            f"is {n}; lower n_examples."
        )
    rows = []
    for function, returns, body in rng.sample(tasks, n):
        problem = pocket_problems.code_prompt(function, returns)
        own = {"problem": problem, "answer": "", "trace": _code_trace(function, body, thinking)}
        rows.append({"id": pocket_problems.problem_hash(problem), **own})
    return rows


def _math_traces(thinking: bool, n: int, rng: random.Random) -> list[dict]:
    held_out = pocket_problems.HELD_OUT_TEMPLATE
    templates = [t for t in pocket_problems.MATH_TEMPLATES if t != held_out]
    rows: dict[str, dict] = {}
    while len(rows) < n:
        problem, steps, answer = pocket_problems.math_problem(rng.choice(templates), rng)
        if pocket_problems.is_benchmark(problem) or problem in rows:
            continue
        trace = _math_trace(steps, answer, thinking)
        own = {"problem": f"{problem}\n\n{BOXED}", "answer": str(answer), "trace": trace}
        rows[problem] = {"id": pocket_problems.problem_hash(problem), **own}
    return list(rows.values())


def write_hub_file(file: Path, dataset: str, n: int, seed: int) -> Path:
    """A Parquet file in the shape of the hub's, of n good rows and a third as many that are to be
    rejected: not verified, unclosed, empty, repeated, code that does not compile."""
    import pandas as pd

    domain = dataset.split("_")[1]
    rows = pocket_traces("r1", domain, n, seed)
    make = _math_row if domain == "math" else _code_row
    made = [make(i, row) for i, row in enumerate(rows)]
    for i, row in enumerate(rows[: n // 3]):
        bad = [
            {"trace": row["trace"].split("</think>")[0]},
            {"trace": ""},
            {"problem": f"  {row['problem']} "},
            {"problem": ""},
            {"trace": row["trace"].replace("return", "return (").replace("boxed{", "boxed{1")},
        ][i % 5]
        made.append(make(i + n, row | bad, i % 5 == 4))
    random.Random(seed).shuffle(made)
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(made).to_parquet(file, row_group_size=100)
    return file


def _math_row(i: int, row: dict, wrong: bool = False) -> dict:
    whole = "</think>" in row["trace"]
    return {
        "problem": row["problem"].removesuffix(BOXED).strip(),
        "solution": "",
        "answer": row["answer"],
        "problem_type": "Algebra",
        "question_type": "math-word-problem",
        "source": "pocket",
        "uuid": f"pocket-{i}",
        "is_reasoning_complete": [whole, False],
        "generations": [row["trace"], "<think>\nHm"],
        "correctness_math_verify": [whole and not wrong, False],
        "correctness_llama": None,
        "finish_reasons": None,
        "correctness_count": int(whole),
        "messages": [],
    }


def _code_row(i: int, row: dict, wrong: bool = False) -> dict:
    return {
        "id": f"pocket-{i}",
        "input": row["problem"].strip(),
        "output": row["trace"],
        "source": "pocket",
        "license": "",
        "dataset": "pocket",
        "split": "train",
        "difficulty": "EASY",
        "solution": "",
    }
