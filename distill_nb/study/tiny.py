"""Files in the shapes of the hubs', with two small problems each, so that the tiny study goes
through all five benchmarks and both teachers without a network.

They are parts (sources.py): no score of them can be taken for a benchmark's. DeepSeek-R1's rows at
tiny size come from traces/pocket.py, and the API teacher's answers from stand_in.py.
"""

import base64
import json
import pickle
import zlib
from pathlib import Path

from distill_nb.runtime import paths

TWICE = {
    "prompt": 'def twice(n: int) -> int:\n    """2n"""\n',
    "entry_point": "twice",
    "atol": 0,
    "canonical_solution": "    return 2 * n\n",
    "base_input": [[1]],
    "plus_input": [[3]],
}
SUM = {
    "question_title": "Sum",
    "question_content": "Print the sum of two numbers.",
    "platform": "atcoder",
    "metadata": "{}",
    "contest_date": "2024-09-01T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
}


def math500_rows() -> list[dict]:
    """As in HuggingFaceH4/MATH-500."""
    return [
        {"problem": f"What is {i} + {7 - i}?", "answer": "7", "unique_id": f"test/algebra/{i}.json"}
        for i in range(2)
    ]


def aime_rows() -> list[dict]:
    """As in AI-MO/aimo-validation-aime."""
    return [
        {
            "problem": f"What is {n} + {7 - n}?",
            "answer": "007",
            "url": f"https://example.org/2024_AIME_II_Problems/Problem_{n}",
        }
        for n in (1, 2)
    ]


def evalplus_rows(prefix: str) -> list[dict]:
    """As in evalplus's releases of HumanEval+ and MBPP+."""
    return [TWICE | {"task_id": f"{prefix}/{i}"} for i in (3, 4)]


def cases(pairs: list[tuple[str, str]], kind: str) -> str:
    """Test cases as LiveCodeBench has them. pairs: [(input, output)]; kind: stdin | functional."""
    return json.dumps([{"input": i, "output": o, "testtype": kind} for i, o in pairs])


def packed(text: str) -> str:
    """Private test cases as LiveCodeBench packs them."""
    return base64.b64encode(zlib.compress(pickle.dumps(text))).decode()


def livecodebench_rows() -> list[dict]:
    """As in livecodebench/code_generation_lite."""
    return [
        SUM
        | {
            "question_id": f"abc{i}_a",
            "contest_id": f"abc{i}",
            "public_test_cases": cases([("1 2\n", "3\n")], "stdin"),
            "private_test_cases": packed(cases([("10 -4", "6"), ("0 0\n", "0")], "stdin")),
        }
        for i in (1, 2)
    ]


def rows(benchmark: str) -> list[dict]:
    """The two problems of a benchmark."""
    return {
        "math500": math500_rows,
        "aime": aime_rows,
        "livecodebench": livecodebench_rows,
        "humaneval_plus": lambda: evalplus_rows("HumanEval"),
        "mbpp_plus": lambda: evalplus_rows("Mbpp"),
    }[benchmark]()


def folder() -> Path:
    """Where the tiny study has them."""
    return paths.runs() / "tiny" / "fixtures"


def file_of(benchmark: str, where: Path | None = None) -> Path:
    """The file of a benchmark."""
    return (where or folder()) / f"{benchmark}.part.jsonl"


def write(benchmark: str, where: Path) -> Path:
    """Write the file of one benchmark; makes the folder."""
    file = file_of(benchmark, where)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows(benchmark)), encoding="utf-8")
    return file


def asked(dataset: str) -> dict:
    """Trace parameters for a set from the stand-in teacher, whichever API the set asks otherwise:
    the R1 set's problems, asked one after another. What it would have cost counts against max_cost,
    though nothing is paid."""
    return {
        "source": f"r1_{dataset.split('_')[1]}",
        "teacher_api": "anthropic",
        "teacher_url": "none",
        "teacher_mode": "messages",
        "teacher_max_tokens": 4096,
        "teacher_temperature": 1.0,
        "thinking_budget": 0,
        "trace_from": "text",
        "max_cost": 10.0,
        "poll_seconds": 0.05,
    }
