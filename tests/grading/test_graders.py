import pytest

from distill_nb.benchmarks import Task
from distill_nb.grading import code, code_answer
from distill_nb.grading.blocks import blocks
from distill_nb.grading.extract import visible_text
from distill_nb.grading.graders import grade
from distill_nb.grading.math_answer import last_boxed, lenient_answer


def grade_math(completion, gold, finish_reason="stop"):
    return grade(Task("t", "", "math", gold=gold), completion, finish_reason)


def grade_code(completion, tests, finish_reason="stop"):
    return grade(Task("t", "", "code", tests=tests, entry_point="f"), completion, finish_reason)


@pytest.mark.parametrize(
    ("completion", "gold", "outcome", "lenient", "second"),
    [
        (r"\boxed{42}", "42", "correct", "correct", "correct"),
        (r"\boxed{41} no, \boxed{42}", "42", "correct", "correct", "correct"),
        (r"\boxed{\frac{1}{2}}", "0.5", "correct", "correct", "wrong"),
        (r"\boxed{10,\!080}", "10080", "correct", "correct", "correct"),
        (r"\boxed{41}", "42", "wrong", "wrong", "wrong"),
        ("The answer is 42.", "42", "no_answer", "correct", "no_answer"),
        ("no idea", "42", "no_answer", "no_answer", "no_answer"),
        (r"<think>\boxed{42}</think> It is \boxed{7}", "42", "wrong", "wrong", "wrong"),
        (r"<think>\boxed{42}", "42", "no_answer", "no_answer", "no_answer"),
    ],
)
def test_math_outcomes(completion, gold, outcome, lenient, second):
    g = grade_math(completion, gold)
    assert (g.outcome, g.lenient_outcome, g.second_outcome) == (outcome, lenient, second)


def test_an_answer_that_was_cut_off_is_truncated_unless_it_was_given():
    assert grade_math("thinking about it", "42", "length").outcome == "truncated"
    assert grade_math(r"\boxed{42} and then", "42", "length").outcome == "correct"
    assert grade_code("```python\nx = 1", "assert True", "length").outcome == "truncated"
    looping = grade_math("again and again", "42", "loop")
    assert (looping.outcome, looping.lenient_outcome, looping.second_outcome) == ("looping",) * 3
    assert grade_math(r"\boxed{42} and again and again", "42", "loop").outcome == "correct"
    assert grade_code("```python\nx = 1", "assert True", "loop").outcome == "looping"


def test_boxes_nest_and_may_be_incomplete():
    assert last_boxed(r"a \boxed{\frac{1}{2}} b") == r"\frac{1}{2}"
    assert last_boxed(r"\boxed{1} and \boxed{2") == "1"
    assert last_boxed("none") is None
    assert last_boxed(r"\boxed{a \boxed{b} c}") == "b"  # the later opening
    assert last_boxed(r"\boxed{\{1\}} }") == r"\{1\}" and last_boxed(r"} {\fbox {x}") == "x"
    assert visible_text("a <think>b</think> c") == "a  c" and visible_text("b</think> c") == " c"


def block(code):
    return f"```python\n{code}\n```\n"


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("def f(x): return x + 1", "correct"),
        ("def f(x): return x", "wrong"),
        ("def f(x) return x", "wrong"),
        ("def f(x): return 2\nimport sys; sys.exit(0)", "wrong"),
        ("def f(x): return 2\nimport os; os._exit(0)", "wrong"),
        ("print('x' * 9)", "no_answer"),
        ("def f(x): return 2\nx = [0] * 10**10", "wrong"),
        ("def f(x):\n    while True: pass", "timeout"),
        ("f = lambda x: x + 1\nprint('noise')", "correct"),
    ],
)
def test_code_outcomes(code, outcome):
    assert grade_code(block(code), "assert f(1) == 2").outcome == outcome


def test_the_last_complete_block_counts_and_none_is_no_answer():
    assert (
        grade_code(
            block("def f(): return 1") + block("def f(): return 2"), "assert f() == 2"
        ).outcome
        == "correct"
    )
    assert (
        grade_code(
            "<think>" + block("def f(): return 2") + "</think> no", "assert f() == 2"
        ).outcome
        == "no_answer"
    )


def test_candidates_see_no_environment(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "x")
    assert (
        grade_code(
            block("import os\nf = lambda: os.environ.get('SECRET_KEY')"), "assert f() is None"
        ).outcome
        == "correct"
    )


@pytest.mark.timeout(60)  # a quadratic reading of these takes hours
def test_a_completion_that_loops_is_read_in_one_pass():
    many = 100_000
    assert last_boxed(r"\boxed{1}" + r"\boxed{2 " * many) == "1"
    assert last_boxed("\\" * many + "{" * many) is None
    assert visible_text("<think>" * many) == "" and visible_text("</think>a" * many) == "a"
    assert visible_text("<think>a</think>b" * many) == "b" * many
    assert blocks("```python\n" * many) == []
    assert blocks("````\n~~~~\n" * many + "```\nx\n```")[-1].code == "x\n"
    code = "def f(): return 1"
    for text in ("\n" * many + code + "\n" * many, f"```python\n{code}\n```\n" * (many // 20)):
        assert code_answer.lenient(text, "f").strip() == code
    for text in (" " * many + "\n" * many, "def g(\n" * many, "> 1. " * many + "```\n"):
        assert code_answer.strict(text, "f") == "" and len(code_answer.lenient(text, "f")) <= len(
            text
        )
    assert code_answer.strict("```python\nx\n```\n" * (many // 20), "f") == ""
    lacking = "".join(f"```python\ny = x{i}\n```\n" for i in range(many // 20))
    assert code_answer.strict(lacking, "").startswith("y = x")
    assert (
        lenient_answer(r"\boxed{7" + " " * many + "}") == "7" and lenient_answer("1," * many) == "1"
    )
    for text in (r"\boxed{" + "1 " * many + "}", r"\boxed{" + " " * many + "7}7", "7" * many):
        assert grade_math(text, "7").outcome in ("wrong", "no_answer", "correct")


def test_math_alone_starts_no_sandbox(monkeypatch):
    monkeypatch.setattr(code, "pool", lambda *_: pytest.fail("a sandbox was started"))
    assert grade_math(r"\boxed{7}", "7").outcome == "correct"
