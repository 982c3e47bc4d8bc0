import pytest

from distill_nb.benchmarks import BOXED
from distill_nb.benchmarks.livecodebench import WITH_STARTER, WITHOUT_STARTER
from distill_nb.traces import prompts

PROGRAM = "Read n and print n lines.\n\nExample:\n3\n\nOutput"


@pytest.mark.parametrize(
    "starter",
    [
        "def add(a, b):",
        "def add(a, b) -> int:\n    # your code here",
        "async def f():\n    pass",
        "from typing import List\n\nclass Solution:\n    def f(self, x: List[int]) -> int:\n       "
        " ",
        'class Solution:\n    def f(self):\n        """What f does."""\n        ...',
        "@cache\ndef f(n):\n\tpass",
    ],
)
def test_starter_code_at_the_end_of_a_statement_is_to_be_completed(starter):
    for text, wanted in (
        (f"Add two numbers.\n\n{starter}", starter.rstrip()),
        (f"Add two numbers.\n```python\n{starter}\n```\n", starter),
    ):
        prompt = prompts.prompt_of(text, "code")
        assert (
            prompt == "Solve this programming problem.\n\nAdd two "
            f"numbers.\n\n{WITH_STARTER.format(starter=wanted)}"
        )
        assert "standard input" not in prompt and prompt.count("def ") == 1


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM,
        "",
        "def is a word.",
        "Given\n\ndef f(x):\n    return x + 1\n",
        "def f(x):\n    pass\n\nWhat does f return?",
        "class Solution:\n    x = 1",
        "Define the function f(x) = x + 1 and print f(3).",
        "Write a function; print f(2).",
        "```\n1 2\n```",
        "from 1 to n\nimport goods",
        "```",
        "def f(" + "(" * 3000 + "):",
    ],
)
def test_any_other_problem_is_a_program_that_reads_standard_input(text):
    assert prompts.split_starter(text) == (text, "")
    assert prompts.prompt_of(text, "code").endswith(WITHOUT_STARTER)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Write a Python function `at_most_13(n)` that returns n.", "at_most_13"),
        (
            "You don't need to read input. Your task is to complete the function **minSteps**() "
            "which takes",
            "minSteps",
        ),
        ("Your task is to complete the function minSteps () which takes N.", "minSteps"),
    ],
)
def test_a_statement_that_asks_for_a_function_by_name(text, name):
    prompt = prompts.prompt_of(text, "code")
    assert f"a Python function `{name}` that takes" in prompt and "standard input" not in prompt


def test_starter_code_or_a_name_beside_the_statement():
    starter = "class Solution:\n    def f(self):\n        "
    assert prompts.prompt_of(PROGRAM, "code", starter).endswith(
        WITH_STARTER.format(starter=starter)
    )
    prompt = prompts.prompt_of(PROGRAM, "code", function="add")
    assert "a Python function `add`" in prompt and "standard input" not in prompt
    assert prompts.prompt_of("def f(x):", "math") == f"def f(x):\n\n{BOXED}"
