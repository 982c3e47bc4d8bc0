"""Is a teacher's response worth training on? Stop reason, thinking, then the students' grader."""

import json

from distill_nb import benchmarks
from distill_nb.benchmarks import livecodebench_tests as official
from distill_nb.grading import code, code_answer, extract, graders, sandbox
from distill_nb.students import chat

COMPLETE = ("end_turn", "stop_sequence", "stop")  # Anthropic's two, and the OpenAI-compatible one
CUT = ("max_tokens", "length", "model_context_window_exceeded")
CODE_BLOCK = "Answer with the whole solution in one Python code block."


def trace_of(response: dict, trace_from: str) -> str:
    """The text that a student is trained on. trace_from: thinking_and_text | text | thinking."""
    if trace_from == "thinking_and_text":
        return chat.with_thinking(response["thinking"], response["text"])
    return response[trace_from].strip()


def unfit(response: dict, trace_from: str) -> str:
    """Why a response cannot be a trace whatever its answer, "" where it can.

    max_tokens (cut off), another stop reason such as refusal or pause_turn, no_thinking,
    redacted_thinking (parts of it are hidden), think_tag (a tag within the text would end the
    thinking at the wrong place), empty."""
    reason = response["stop_reason"]
    if reason in CUT:
        return "max_tokens"
    if reason not in COMPLETE:
        return reason or "no_stop_reason"
    if trace_from != "text":
        if response["redacted_blocks"]:
            return "redacted_thinking"
        if not response["thinking"].strip():
            return "no_thinking"
    if trace_from != "thinking" and not response["text"].strip():
        return "empty"
    if any(tag in response[part] for part in trace_from.split("_and_") for tag in chat.THINKING):
        return "think_tag"
    return ""


def kind_of(problem: dict) -> str:
    """code for a problem with tests or without an answer, else math."""
    return "math" if problem.get("answer") and not problem.get("tests") else "code"


def tests_of(problem: dict) -> tuple[sandbox.FunctionTests | sandbox.ProgramTests, str] | None:
    """The tests of a code problem for the sandbox, as (tests, prelude); None where there are none.

    `tests` is a text of asserts that call one function, or a mapping (or its JSON) of inputs and
    outputs: texts on standard input and output, or with fn_name lists of arguments and the values
    returned, as in TACO and APPS. Raises ValueError for another form."""
    tests = problem.get("tests")
    if not tests:
        return None
    try:
        if isinstance(tests, str) and tests.lstrip()[:1] != "{":
            return sandbox.assert_tests(tests), ""
        cases = json.loads(tests) if isinstance(tests, str) else tests
        inputs, outputs, name = cases["inputs"], cases["outputs"], cases.get("fn_name") or ""
        if not name:
            if not all(isinstance(text, str) for text in [*inputs, *outputs]):
                raise ValueError("inputs and outputs of a program must be texts")
            program = sandbox.program_tests(inputs, outputs, seconds=official.SECONDS)
            return program, official.PRELUDE
        if not str(name).isidentifier():
            raise ValueError(f"fn_name {name!r} is no name")
        entry_point = f"Solution().{name} if 'Solution' in globals() else {name}"
        function = sandbox.function_tests(
            entry_point, inputs, outputs, rule="livecodebench", seconds=official.SECONDS
        )
        return function, official.PRELUDE
    except (ValueError, TypeError, KeyError, AttributeError, SyntaxError) as error:
        raise ValueError(
            f"problem {problem['id']}: its tests cannot be run ({type(error).__name__}: "
            f"{str(error)[:200]}); correct them or leave tests out."
        ) from None


def function_of(problem: dict) -> str:
    """The name of the function that a problem's tests call; "" where they call none."""
    made = tests_of(problem)
    name = getattr(made[0], "entry_point", "") if made else ""
    return name.rpartition(" else ")[2]


def prepare(problems: list[dict], allow_unsafe: bool) -> None:
    """Find out before anything is paid for whether the default grading will work.

    Raises ValueError for tests that cannot be run, RuntimeError where there are tests and no
    sandbox works here."""
    if any([tests_of(p) is not None for p in problems]):  # reads them all
        code.level(allow_unsafe)


def default_outcomes(problems: list[dict], texts: list[str], allow_unsafe: bool) -> list[str]:
    """The outcome of each visible text, in order, on all cores: math by grade_math against the
    answer; code by its tests in the sandbox; code without tests is `unverified` where it
    compiles, else does_not_compile."""
    outcomes = [""] * len(problems)
    math = [i for i, problem in enumerate(problems) if kind_of(problem) == "math"]
    if math:
        answers = [str(problems[i]["answer"]) for i in math]
        grades = graders.grade_math_all([texts[i] for i in math], answers)
        for i, grade in zip(math, grades, strict=True):
            outcomes[i] = grade.outcome
    jobs = {}
    for i, problem in enumerate(problems):
        if outcomes[i]:
            continue
        name = function_of(problem)
        entry_point = f"Solution().{name}" if name else ""  # or the bare function
        answer = code_answer.strict(extract.visible_text(texts[i]), entry_point)
        tests = tests_of(problem) if answer else None
        if not answer:
            outcomes[i] = "no_answer"
        elif tests is None:
            outcomes[i] = "unverified" if code_answer.parse(answer) else "does_not_compile"
        else:
            jobs[i] = sandbox.Job(answer, *tests)
    if jobs:
        results = code.run(list(jobs.values()), allow_unsafe)
        for i, result in zip(jobs, results, strict=True):
            outcomes[i] = result.outcome
    return outcomes


def prompt_of(problem: dict) -> str:
    r"""The message to the teacher: `prompt` where the problem has one, else its text, with the
    instruction that the grader needs (\boxed{…}, or one code block) where the text does not give it
    already."""
    if problem.get("prompt"):
        return problem["prompt"]
    text = problem["problem"]
    if kind_of(problem) == "math":
        return text if "\\boxed" in text else f"{text}\n\n{benchmarks.BOXED}"
    return text if "code block" in text else f"{text}\n\n{CODE_BLOCK}"
