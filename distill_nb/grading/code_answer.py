"""Which code of a completion is its answer.

The rule, in docs/grading.md, too: the last fenced block that can be the answer. It is Python, by
its tag or, without one, because it parses. For a function's task it defines the entry point, with a
body; for a program's it does something, and one that reads its input comes before one that does
not. Declarations of earlier blocks that it needs are put before it. A block of another language is
never the answer, nor is one that only shows output."""

import ast
import builtins
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache

from distill_nb.grading.blocks import Block, blocks

PYTHON = {"python", "python3", "py", "py3", "pypy", "pypy3"}
BUILTINS = {*dir(builtins), "__name__", "__file__", "__doc__"}
READS = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\s*\(\s*0|\bread\s*\(\s*0|\bfileinput\b")
UNFENCED = re.compile(r"^(?:def|import|from|class|async def|@\w) ?", re.MULTILINE)
# blocks before an answer whose declarations may be put before it, and programs, from the last on,
# that are looked at with those
EARLIER = 20
TRIES = 200  # lines at which a text is cut to find the code at its beginning
Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def strict(text: str, entry_point: str) -> str:
    """The code of the answer in a text without thinking, "" for none. entry_point: a function,
    Solution().method, or "" for a program."""
    return _chosen(blocks(text), entry_point)


def lenient(text: str, entry_point: str) -> str:
    """The same of a text that is read leniently: a fence may stand at the end of a line of code,
    the last block need not be closed, and code may stand outside of blocks, with prose after it."""
    text = "\n".join(map(_unglued, text.split("\n")))
    found = blocks(text, unclosed=True)
    if found and (code := _chosen([*found[:-1], _cut(found[-1])], entry_point)):
        return code
    start = UNFENCED.search(text)
    if start is None:
        return ""
    rest = re.split(r"^[ \t]*(?:```|~~~)", text[start.start() :], maxsplit=1, flags=re.MULTILINE)[0]
    return _chosen([_cut(Block("python", rest))], entry_point) or rest


def _unglued(line: str) -> str:
    """A line with the fence at its end on a line of its own."""
    before = line.rstrip().rstrip("`")
    fence = line.rstrip()[len(before) :]
    glued = len(fence) >= 3 and before.strip() and "`" not in before
    return f"{before}\n{fence}" if glued else line


@lru_cache(maxsize=4 * EARLIER)  # a block is looked at once for each of those after it
def parse(code: str) -> ast.Module | None:
    """The code's tree, or None where Python does not compile it; nothing runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes and the like
            tree = ast.parse(code)
            compile(tree, "<answer>", "exec", dont_inherit=True)  # it also finds a stray `return`
            return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def _chosen(found: list[Block], entry_point: str) -> str:
    """The last block that can be the answer; else the last that was meant to be, and is faulty."""
    faulty = empty = unread = bound = ""
    looked = 0  # programs, from the last on
    for i, block in reversed(list(enumerate(found))):
        if block.language not in PYTHON and block.language:
            continue
        tree = parse(block.code)
        if tree is None:
            if block.language and not faulty and _meant(block.code, entry_point):
                faulty = block.code
        elif entry_point:
            defined = _definitions(tree, entry_point)
            if any(map(_is_function, defined)):
                return _joined(found[:i], block.code, tree)
            if any(map(_has_body, defined)):
                bound = bound or _joined(found[:i], block.code, tree)
            elif defined and not empty:
                empty = block.code
        elif _does_something(tree):
            looked += 1
            if looked > EARLIER and not READS.search(block.code):
                continue
            code = _joined(found[:i], block.code, tree)
            if READS.search(code):
                return code
            unread = unread or code
    return unread or bound or faulty or empty


def _meant(code: str, entry_point: str) -> bool:
    """Whether code that does not parse defines the entry point by more than a signature."""
    if not entry_point:
        return bool(code.strip())
    names = "|".join({re.escape(n) for n in re.findall(r"\w+", entry_point)})
    start = re.search(rf"^[ \t]*(?:def|class|async def) (?:{names})\b.*$", code, re.MULTILINE)
    if start is None:
        return False
    return bool(code[start.end() :].strip()) or not start[0].rstrip().endswith(":")


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of the module's own scope."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        statement = waiting.pop(0)
        yield statement
        if isinstance(statement, (ast.If, ast.Try, ast.With)):
            parts = ("body", "orelse", "finalbody")
            waiting += [s for part in parts for s in getattr(statement, part, [])]


def _names(statement: ast.stmt) -> set[str]:
    """What a statement makes known in its scope."""
    if isinstance(statement, (*Function, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(a.asname or a.name).partition(".")[0] for a in statement.names}
    stored = (n for n in ast.walk(statement) if isinstance(n, ast.Name))
    return {n.id for n in stored if isinstance(n.ctx, ast.Store)}


def _definitions(tree: ast.Module, entry_point: str) -> list[ast.stmt]:
    """The statements that define the entry point. Solution().method may be a bare function, too, as
    LiveCodeBench's own runner takes it."""
    owner, _, method = entry_point.partition("().")
    found = []
    for statement in _top_level(tree):
        if method and isinstance(statement, ast.ClassDef) and statement.name == owner:
            found += [s for s in statement.body if method in _names(s)]
        elif (method or owner) in _names(statement) and _makes(statement, method or owner):
            found.append(statement)
    return found


def _makes(statement: ast.stmt, name: str) -> bool:
    """Whether a statement defines the name: an import, a loop or a use of it does not."""
    if isinstance(statement, (*Function, ast.ClassDef)):
        return True
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return False
    read = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and _is_read(n)}
    return name not in read


def _is_read(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Load)


def _is_function(statement: ast.stmt) -> bool:
    """Whether a definition is a function or class with a body, or a lambda."""
    if isinstance(statement, (*Function, ast.ClassDef)):
        return _has_body(statement)
    return isinstance(getattr(statement, "value", None), ast.Lambda)


def _has_body(statement: ast.stmt) -> bool:
    """Whether a definition does more than name itself: not only a docstring, `pass`, `...` or a
    NotImplementedError."""
    if not isinstance(statement, (*Function, ast.ClassDef)):
        return True
    for inner in statement.body:
        if isinstance(inner, ast.Pass) or _is_constant(inner):
            continue
        if isinstance(inner, ast.Raise) and "NotImplementedError" in ast.dump(inner):
            continue
        return True
    return False


def _is_constant(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _does_something(tree: ast.Module) -> bool:
    """Whether a program is more than imports and values, as an example of output or JSON is."""
    for statement in tree.body:
        if isinstance(statement, ast.Expr):
            if any(isinstance(n, (ast.Call, ast.Await)) for n in ast.walk(statement)):
                return True
        elif not isinstance(statement, (ast.Import, ast.ImportFrom, ast.Pass)):
            return True
    return False


def _joined(earlier: list[Block], code: str, tree: ast.Module) -> str:
    """The code, after the declarations of those earlier blocks that define names which it lacks."""
    if not (lacking := _lacking(tree)):
        return code
    declared: dict[int, ast.Module] = {}
    for i, block in enumerate(earlier[-EARLIER:]):
        other = parse(block.code) if block.language in PYTHON or not block.language else None
        if other is not None:
            shown = (ast.Expr, ast.Assert)
            kept = [s for s in other.body if not isinstance(s, shown) and _names_within(s)]
            declared[i] = ast.Module(kept, [])
    taken: set[int] = set()
    for _ in declared:  # the last of those that define what is lacking, then what that one lacks
        for i in sorted(declared.keys() - taken, reverse=True):
            made = {name for s in declared[i].body for name in _names_within(s)}
            if lacking & made:
                taken.add(i)
                lacking = (lacking | _lacking(declared[i])) - made
                break
    return _together([declared[i] for i in sorted(taken)], code, tree)


def _together(before: list[ast.Module], code: str, tree: ast.Module) -> str:
    """Declarations, then the code. What is imported from __future__ must stand first of all."""
    if not before:
        return code
    parts = [*before, tree]
    future = [s for part in parts for s in part.body if _is_future(s)]
    if future:
        rest = [s for part in parts for s in part.body if not _is_future(s)]
        return ast.unparse(ast.Module([*future, *rest], []))
    return "\n".join([*map(ast.unparse, before), code])


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _names_within(statement: ast.stmt) -> set[str]:
    """What a statement makes known in the module's scope, under a condition too."""
    return {name for s in _top_level(ast.Module([statement], [])) for name in _names(s)}


def _lacking(tree: ast.Module) -> set[str]:
    """Names that are read and nowhere made; none where all of a module is imported."""
    read: set[str] = set()
    made = set(BUILTINS)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else made).add(node.id)
        elif isinstance(node, (*Function, ast.ClassDef)):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            if any(alias.name == "*" for alias in node.names):
                return set()
            made |= _names(node)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            made.add(node.name)
    return read - made


def _cut(block: Block) -> Block:
    """Its longest beginning that is Python, without words of prose at its end; itself if none."""
    lines = block.code.split("\n")
    for _ in range(TRIES):
        code = "\n".join(lines)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(code)
        except SyntaxError as error:
            lines = lines[: max(0, min(error.lineno or 1, len(lines)) - 1)]
            continue
        except (ValueError, RecursionError, MemoryError):
            return block
        statements = tree.body
        while statements and isinstance(statements[-1], ast.Expr):
            if any(isinstance(n, ast.Call) for n in ast.walk(statements[-1])):
                break
            statements = statements[:-1]
        end = statements[-1].end_lineno if statements else 0
        return Block(block.language, "\n".join(lines[:end]) + "\n") if end else block
    return block
