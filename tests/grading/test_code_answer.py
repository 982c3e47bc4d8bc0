"""Which code of a completion is its answer: by the strict reading, and by the lenient one."""

import json

import pytest

from distill_nb.grading import code_answer, graders
from distill_nb.grading.extract import closes_its_thinking, visible_text

RIGHT = "def f(a):\n    return a + 1\n"
WRONG = "def f(a):\n    return a\n"


def fence(code, language="python"):
    return f"```{language}\n{code.rstrip()}\n```\n"


AFTER = {
    "an output": fence("5", ""),
    "an output of words": fence("YES", ""),
    "an empty block": fence(""),
    "bash": fence("python main.py", "bash"),
    "a session": fence(">>> f(1)\n2", ""),
    "JSON": fence('{"a": 1}', "json"),
    "JSON without a tag": fence('{"a": 1}', ""),
    "a diff": fence("-a\n+b", "diff"),
    "JavaScript": fence("function f(a) { return a }", "javascript"),
    "a signature": fence("def f(a):"),
    "a signature and its docstring": fence('def f(a):\n    """One more."""'),
    "a stub": fence("def f(a):\n    raise NotImplementedError()"),
    "a line of it": fence("return a + 1"),
    "a block that nothing closes": "```python\ndef f(a):\n    return a",
    "broken code": fence("def f(a):\n    return (a"),
    "other functions": fence("def g(a):\n    return f(a)"),
    "tests": fence("assert f(1) == 2"),
    "a use of it": fence("print(f(1))"),
}


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
def test_what_cannot_be_the_answer_of_a_function_is_passed_over(after):
    for before in ("", fence(WRONG)):
        assert code_answer.strict(before + fence(RIGHT) + after, "f") == RIGHT
        assert code_answer.strict(before + fence(RIGHT, "") + after, "f") == RIGHT


@pytest.mark.parametrize(
    "code",
    [
        RIGHT,
        "f = lambda a: a + 1\n",
        "async def f(a):\n    return a\n",
        "if 1:\n    def f(a): return 1\n",
        "class f:\n    x = 1\n",
    ],
)
def test_what_defines_a_function(code):
    assert code_answer.strict(fence(WRONG) + fence(code), "f") == code


@pytest.mark.parametrize("code", ["f: object = len\n", "try:\n    f = abs\nexcept E: f = int\n"])
def test_another_name_of_a_function_is_an_answer_where_nothing_defines_it(code):
    assert code_answer.strict(fence(code), "f") == code
    assert code_answer.strict(fence(RIGHT) + fence(code), "f") == RIGHT


@pytest.mark.parametrize(
    "after",
    [
        "from solution import f\nprint(f(1))",
        "try:\n    from a import f\nexcept ImportError:\n    pass",
        "f = f(1)",
        "for f in [1]:\n    print(f)",
        "with open('x') as f:\n    pass",
        "f = 5",
    ],
)
def test_a_use_of_the_function_does_not_define_it(after):
    assert code_answer.strict(fence(RIGHT) + fence(after), "f") == RIGHT


def test_a_faulty_answer_is_an_answer():
    broken = "def f(a):\n    return (a\n"
    assert code_answer.strict(fence(broken), "f") == broken
    assert code_answer.strict(fence("def f(a):\n    pass"), "f") == "def f(a):\n    pass\n"
    for other in ("def g(a):\n    return a", "f(1)", "x = (", "def f(a):"):
        assert code_answer.strict(fence(other), "f") == "", other
    assert code_answer.strict(fence("function f(a) { return a }", "js"), "f") == ""


def test_a_method_may_be_a_bare_function():
    method = "class Solution:\n    def f(self, a):\n        return a\n"
    for code in (method, RIGHT):
        assert (
            code_answer.strict(fence(code) + fence("print(Solution().f(1))"), "Solution().f")
            == code
        )
    stub = "class Solution:\n    def f(self, a):\n        pass\n"
    assert code_answer.strict(fence(method) + fence(stub), "Solution().f") == method
    assert (
        code_answer.strict(fence("class Solution:\n    def g(self): return 1"), "Solution().f")
        == ""
    )


PROGRAM = "n = int(input())\nprint(n + 1)\n"


@pytest.mark.parametrize(
    "after",
    [
        fence("5", ""),
        fence("5"),
        fence("YES", ""),
        fence("3\n1 2 3", ""),
        fence("[1, 2]"),
        fence("x = 5", ""),
        fence("import sys"),
        fence("print(solve([1, 2]))"),
        fence("for i in range(n):"),
        fence("g++ a.cc", "sh"),
        fence("int main() {}", "cpp"),
    ],
)
def test_what_cannot_be_the_answer_of_a_program_is_passed_over(after):
    assert code_answer.strict(fence(PROGRAM) + after, "") == PROGRAM


def test_of_programs_the_last_counts():
    other = "import sys\nprint(sys.stdin.read())\n"
    assert code_answer.strict(fence(PROGRAM) + fence(other), "") == other
    assert code_answer.strict(fence("print(1)") + fence("print(2)"), "") == "print(2)\n"
    assert code_answer.strict(fence("print(1"), "") == "print(1\n"
    for none in (fence("5"), fence("5", ""), fence('{"a": 1}', "json"), fence("1 2", ""), "5", ""):
        assert code_answer.strict(none, "") == ""


def test_a_program_in_two_blocks_is_joined():
    solve = "def solve():\n    print(int(input()) + 1)\n"
    for call in ("solve()", "if __name__ == '__main__':\n    solve()"):
        assert code_answer.strict(fence(solve) + fence(call), "") == f"{solve}{call}\n"
    read, shown = "n = int(input())", "print(n * 2)"
    assert code_answer.strict(fence(read) + fence(shown), "") == f"{read}\n{shown}\n"


def test_joined_code_is_python():
    helper, code = "def g(a):\n    return a + 1", "def f(a):\n    return g(a)"
    future = "from __future__ import annotations\n"
    guarded = "if True:\n    def g(a):\n        return a + 1"
    for before, after in ((helper, future + code), (future + helper, code), (guarded, code)):
        namespace = {}
        exec(code_answer.strict(fence(before) + fence(after), "f"), namespace)
        assert namespace["f"](1) == 2


def test_declarations_that_it_lacks_are_put_before_it():
    code = "def f(a):\n    return math.floor(half(a))\n"
    earlier = (
        fence("import math\nprint(1)")
        + fence("def half(a):\n    return a / TWO")
        + fence("TWO = 2", "")
    )
    found = code_answer.strict(earlier + fence(code), "f")
    assert found.endswith(code) and "print" not in found
    namespace = {}
    exec(found, namespace)
    assert namespace["f"](5) == 2
    # one that stands alone is left alone, and so is what nothing defines
    assert code_answer.strict(earlier + fence(RIGHT), "f") == RIGHT
    assert code_answer.strict(fence("x = 1") + fence("def f(a):\n    return g(a)"), "f").startswith(
        "def"
    )


LENIENT = {
    "glued to its closing fence": "```python\ndef f(a):\n    return a + 1```\nThat is all.",
    "not closed": "```python\n" + RIGHT,
    "not closed, with prose": "```python\n" + RIGHT + "\nThis adds one to a.\n",
    "without a fence": RIGHT,
    "without a fence, with prose": "So:\n\n" + RIGHT + "\nThis adds one to a (and no more).\nDone",
    "cut off after it": "```python\n" + RIGHT + "\ndef g(a):\n    return (a",
}


@pytest.mark.parametrize("text", LENIENT.values(), ids=LENIENT)
def test_the_lenient_reading(text):
    assert code_answer.strict(text, "f") == ""
    namespace = {}
    exec(code_answer.lenient(text, "f"), namespace)
    assert namespace["f"](1) == 2


def test_thinking_in_any_case_is_no_answer():
    for tag in ("think", "Think", "THINK", "thinking", "Thinking"):
        text = f"<{tag}>{fence(WRONG)}</{tag}>{fence(RIGHT)}"
        assert visible_text(text) == fence(RIGHT) and closes_its_thinking(text)
        assert not closes_its_thinking(text + f"<{tag}>")
    assert (
        closes_its_thinking("no tag") and visible_text("if a <thinkable> b") == "if a <thinkable> b"
    )


def test_the_verdict_says_what_was_not_found():
    grade = graders.grade_code("pocket_code", "pocket_code/add", fence("5", ""))
    assert (grade.outcome, grade.detail) == (
        "no_answer",
        "no block outside the thinking defines add",
    )
    json.dumps(grade.detail)
