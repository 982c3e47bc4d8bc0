"""Shared by the tests of training sets: rows in the hub's schema, good ones and bad ones of every
kind."""

import pyarrow as pa
import pyarrow.parquet as pq

from distill_nb import benchmarks
from distill_nb.benchmarks import loading
from distill_nb.traces import params

MATH = pa.schema(
    [
        *(
            (n, pa.string())
            for n in (
                "problem",
                "solution",
                "answer",
                "problem_type",
                "question_type",
                "source",
                "uuid",
            )
        ),
        ("is_reasoning_complete", pa.list_(pa.bool_())),
        ("generations", pa.list_(pa.string())),
        ("correctness_math_verify", pa.list_(pa.bool_())),
        ("correctness_llama", pa.list_(pa.bool_())),
        ("finish_reasons", pa.list_(pa.string())),
        ("correctness_count", pa.int64()),
        ("messages", pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())]))),
    ]
)
CODE = pa.schema(
    [
        (n, pa.string())
        for n in (
            "id",
            "input",
            "output",
            "source",
            "license",
            "dataset",
            "split",
            "difficulty",
            "solution",
        )
    ]
)
CODE_1 = CODE.append(pa.field("index", pa.string()))
GOOD = "<think>\nLet me see.\n</think>\nIt is \\boxed{4}."
PROGRAM = "<think>\nA loop.\n</think>\n```python\nprint(input())\n```\n"


def math(
    problem="What is 2+2?",
    generations=(GOOD,),
    complete=(True,),
    correct=(True,),
    answer="4",
    uuid="u",
    **other,
):
    """A row in the hub's schema."""
    return (
        dict.fromkeys(MATH.names)
        | {
            "problem": problem,
            "answer": answer,
            "uuid": uuid,
            "generations": generations,
            "is_reasoning_complete": complete,
            "correctness_math_verify": correct,
        }
        | other
    )


def code(problem="Print the line.", output=PROGRAM, **other):
    return dict.fromkeys(CODE.names) | {"id": "c", "input": problem, "output": output} | other


ASKED = loading.load("pocket_math")[0]


def rows_of(n=60):
    """Good rows with problems of their own, and bad ones of every kind."""
    problem = (
        "A {} of {} stones is cut into {} parts that weigh the same. How heavy is one part of the "
        "{}?"
    )
    things = ["wall", "tower", "bridge", "house", "road", "well", "gate", "arch", "ring", "hall"]
    made = [
        math(
            problem.format(things[i % 10], 7 * i + 100, i + 3, things[i % 7]),
            uuid=f"u{i}",
            answer=str(i),
        )
        for i in range(n)
    ]
    bad = [
        math(problem=None, uuid="none"),
        math(complete=[False], uuid="cut"),
        math(correct=[False], uuid="wrong"),
        math(problem=ASKED.prompt.removesuffix(benchmarks.BOXED), uuid="asked"),
        math(problem=made[3]["problem"].upper().replace("STONES", "stones  "), uuid="again"),
        math(
            problem=made[4]["problem"].replace("How heavy is", "How heavy, then, is"), uuid="near"
        ),
    ]
    return made, bad


def write_source(tmp_path):
    """A folder of two files in the hub's schema, with small row groups."""
    made, bad = rows_of()
    folder = tmp_path / "hub"
    folder.mkdir()
    for i, part in enumerate((made[:30] + bad[:3], bad[3:] + made[30:])):
        pq.write_table(
            pa.Table.from_pylist(part, schema=MATH),
            folder / f"train-{i}.parquet",
            row_group_size=10,
        )
    return folder


def settings(source, **changes):
    own = dict(dataset="r1_math", source=str(source), processes=1, n_examples=40)
    return params.pocket(**own | changes)
