"""The five notebooks of a study, and how one is executed: by Papermill, with what it declares.

The command line (`distill-nb train …`) and the stages of a study both call `execute`.
"""

import ast
import contextlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

from distill_nb.params import yaml_text
from distill_nb.report import failures, notebook_page
from distill_nb.runtime import disk, lock, paths, progress, stop

SAID = 2**14  # bytes kept of the end of what Papermill says on stderr


def notebook_of(name: str) -> Path:
    """The notebook called traces, train, eval, analyze or published."""
    return paths.SHIPPED / "notebooks" / f"{name}.ipynb"


@cache
def declared(name: str) -> frozenset[str]:
    """The keys of a notebook's parameters cell."""
    cells = json.loads(notebook_of(name).read_text(encoding="utf-8"))["cells"]
    cell = next(c for c in cells if "parameters" in c["metadata"].get("tags", []))
    nodes = ast.parse("".join(cell["source"])).body
    return frozenset(ast.unparse(node.target) for node in nodes if isinstance(node, ast.AnnAssign))


def command(name: str, out: Path, values: dict, shown: bool = False) -> list[str]:
    """The call of Papermill. A notebook gets those of `values` that it declares, so Papermill has
    none to warn of; the rest is in its `other_parameters`, if it declares that."""
    known = declared(name)
    given = {key: value for key, value in values.items() if key in known}
    if "other_parameters" in known:
        given["other_parameters"] = {k: v for k, v in values.items() if k not in known}
    text = yaml_text.dump(given)
    words = [sys.executable, "-m", "papermill", str(notebook_of(name)), str(out)]
    words += ["--no-progress-bar", "--log-level", "ERROR", "-y", text]
    # One stream for both: Papermill would cut off a file that stderr was sent to.
    return words + (["--stdout-file", "-", "--stderr-file", "-"] if shown else [])


@dataclass(frozen=True)
class Ended:
    """How an execution ended: Papermill's exit status; where that is not 0 the last lines that it
    said on stderr, and what a full disk has to say ("" for any other reason)."""

    status: int
    said: list[str] = field(default_factory=list)
    full: str = ""


def execute(
    name: str,
    out: Path,
    values: dict,
    environment: dict | None = None,
    shown: bool = False,
    **popen,
) -> Ended:
    """Execute a notebook into `out`. One that was torn by a full disk or a kill is removed.

    shown: the notebook's own output and progress bars appear here, and Papermill's stderr does
    not; else the other way round. popen: options for subprocess.Popen."""
    environment = os.environ | {"PYTHONPATH": _python_path()} | (environment or {})
    if shown:
        environment |= progress.AS_TEXT
    words = command(name, out, values, shown)
    with _heard(pass_on=not shown) as stderr:
        status = stop.run(
            words, env=environment, cwd=paths.start(), stderr=stderr, close_fds=False, **popen
        )
        said = disk.end_of(stderr, SAID)
    if not status:
        return Ended(0)
    full = disk.full(out.parent)
    if out.is_file() and not failures.readable(out):
        out.unlink()
    return Ended(status, said, full)


def refuse_if_busy(name: str, folder: Path) -> None:
    """Raises ValueError where another process is at a run or set, before the notebook that it
    executes is overwritten by our refusal. An analysis has no such folder of its own."""
    if name not in ("analyze", "published"):
        with lock.alone(folder, "being started", "dataset" if name == "traces" else "run_name"):
            pass


def page_of_failure(out: Path) -> tuple[Path | None, str]:
    """The page of a notebook that did not come to its end, if there can be one; and what a full
    disk has to say."""
    if out.is_file():
        try:
            with disk.room(out.parent):
                return notebook_page.render(out), ""
        except ValueError:  # its page would load something
            pass
        except disk.DiskFull as error:
            return None, str(error)
    return None, ""


def _python_path() -> str:
    """The kernel finds this package, whatever folder it is started in."""
    own = [str(paths.ROOT)] if paths.CHECKOUT else []
    return os.pathsep.join([*own, *filter(None, sys.path)])


@contextlib.contextmanager
def _heard(pass_on: bool) -> Iterator[IO[bytes]]:
    """A file to be a process's stderr; if asked, what is written there goes to ours at once.

    Not a pipe: a process that writes to a pipe whose reader was killed dies, and a kernel that
    saves its state must not."""
    ended = threading.Event()
    with tempfile.TemporaryFile() as file:
        thread = threading.Thread(target=_pass_on, args=(file, ended))
        if pass_on:
            thread.start()
        try:
            yield file
        finally:
            ended.set()
            if pass_on:
                thread.join()


def _pass_on(file: IO[bytes], ended: threading.Event) -> None:
    at = 0
    while True:
        last = ended.is_set()
        if data := os.pread(file.fileno(), SAID, at):
            at += len(data)
            with contextlib.suppress(OSError):  # nobody reads it: that is no reason to stop
                sys.stderr.write(data.decode(errors="replace"))
                sys.stderr.flush()
        elif last:
            return
        else:
            ended.wait(0.2)
