"""What a student is asked in training, in the benchmarks' words."""

import ast
import re

from distill_nb.benchmarks import BOXED
from distill_nb.benchmarks.livecodebench import PROMPT, WITH_STARTER, WITHOUT_STARTER

FUNCTION = (
    "Write a Python function `{name}` that takes the inputs as its arguments and returns the "
    "answer. Answer with the whole solution in one Python code block."
)
# how the lines of starter code may begin
OPENS = re.compile(r"(?:class|def|async def|from|import)\s|@\w")
# As problems of GeeksforGeeks in TACO ask ("complete the function count() which"), and the
# generated ones; "define the function f(x)" is mathematics.
ASKS = re.compile(
    r"\b(?:write|implement|complete)\s+(?:an?|the)\s+(?:\w+\s+)?(?:function|method)\s+"
    r"[`*]*(\w+)[`*]*\s*\(",
    re.IGNORECASE,
)
HEADER = re.compile(r"([ \t]*)(?:async )?def ")
LONGEST = 80  # lines of starter code that are looked for


def prompt_of(problem: str, domain: str, starter: str = "", function: str = "") -> str:
    """What the student is asked.

    math: the problem and where to put its answer. code, as in LiveCodeBench: starter code to
    complete where the problem has some, as `starter` or at the end of its text; else a function,
    where its name is given or the text asks for one; else a program that reads standard input."""
    if domain == "math":
        return f"{problem}\n\n{BOXED}"
    if not starter:
        problem, starter = split_starter(problem)
    if not function and (asked := ASKS.search(problem)):
        function = asked.group(1)
    if starter:
        how = WITH_STARTER.format(starter=starter)
    else:
        how = FUNCTION.format(name=function) if function else WITHOUT_STARTER
    return PROMPT.format(problem=problem, how=how)


def split_starter(problem: str) -> tuple[str, str]:
    """(statement, starter code) of a text that ends with starter code: Python in which a function
    has no body yet, perhaps in a fenced block. The second is "" where it does not."""
    lines = problem.rstrip().split("\n")
    if lines[-1].strip() == "```":
        fences = [i for i, line in enumerate(lines[:-1]) if line.lstrip().startswith("```")]
        start = fences[-1] if fences else len(lines)
        code = "\n".join(lines[start + 1 : -1])
        return ("\n".join(lines[:start]).rstrip(), code) if _is_starter(code) else (problem, "")
    for i in range(max(0, len(lines) - LONGEST), len(lines)):
        if OPENS.match(lines[i]) and _is_starter(code := "\n".join(lines[i:])):
            return "\n".join(lines[:i]).rstrip(), code
    return problem, ""


def _is_starter(code: str) -> bool:
    """Whether a text is Python that defines a function without a body that says anything."""
    headers = [match for match in map(HEADER.match, code.split("\n")) if match]
    if not headers:
        return False
    for text in (code, f"{code}\n{headers[-1].group(1)}    pass"):
        try:
            nodes = ast.walk(ast.parse(text))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        functions = [n for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
        return any(all(map(_says_nothing, function.body)) for function in functions)
    return False


def _says_nothing(statement: ast.stmt) -> bool:
    """Whether it is `pass`, a docstring or `...`."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass)
