"""Pages of the reference, written from the package itself, and the executed notebooks of a run."""

import importlib
import inspect
import pkgutil
import re
import shutil
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from types import ModuleType

import nbformat

from distill_nb.evaluation import record_fields
from distill_nb.params import Params
from distill_nb.runtime import paths
from distill_nb.traces.params import TraceParams

# In the order of the work; the notebooks call the first ones.
ROOMS = (
    "traces", "training", "evaluation", "analysis", "report", "study", "plan", "grading",
    "benchmarks", "students", "params", "runtime",
)  # fmt: skip
NOTEBOOKS = ("train", "eval")  # in a run's folder; those of its scale lie beside the report


def write(folder: Path) -> None:
    """Write all pages anew. folder: docs/reference/generated."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "api").mkdir(parents=True)
    (folder / "run_parameters.md").write_text(
        parameters(
            Params,
            "Parameters of a run",
            "The keys of `run07.yaml` and its like, of `train.ipynb` and of `eval.ipynb`.",
        )
    )
    (folder / "trace_parameters.md").write_text(
        parameters(
            TraceParams,
            "Parameters of a set of traces",
            "The keys of `traces_r1_math.yaml` and its like, and of `traces.ipynb`.",
        )
    )
    (folder / "records.md").write_text(records())
    (folder / "files.md").write_text(files())
    for room in ROOMS:
        (folder / "api" / f"{room}.md").write_text(api(room))


def parameters(kind: type, title: str, lead: str) -> str:
    """A table of a parameter class: name, type, what it may be, what it means."""
    rows = [f"# {title}", "", lead, "", "| name | type | values | meaning |", "|---|---|---|---|"]
    for f in fields(kind):
        limits = f.metadata
        values = " ".join(f"`{choice}`" for choice in limits["choices"] or ())
        for words, limit in (
            ("at least", "low"),
            ("at most", "high"),
            ("above", "above"),
            ("below", "below"),
        ):
            if limits[limit] is not None:
                values += f" {words} {limits[limit]:,}"
        if f.default is not MISSING:
            values += f" (default `{f.default}`)"
        rows.append(f"| `{f.name}` | {f.type} | {values.strip()} | {cell(limits['help'])} |")
    return "\n".join(rows) + "\n"


def records() -> str:
    """What a line of a file of records holds."""
    rows = [
        "# Records of an evaluation",
        "",
        "`eval/step_00100/<benchmark>.jsonl` in a run's folder has one line, a JSON object, for "
        "each problem and sample.",
        "",
        "| key | meaning |",
        "|---|---|",
    ]
    rows += [f"| `{name}` | {cell(text)} |" for name, text in record_fields.FIELDS.items()]
    rows += ["", "## Outcomes", "", "| outcome | meaning |", "|---|---|"]
    rows += [f"| `{name}` | {cell(text)} |" for name, text in record_fields.OUTCOMES.items()]
    return "\n".join(rows) + "\n"


def files() -> str:
    """Where everything is, in the words of runtime/paths.py and of each room's map."""
    return f"# Files of a run\n\n{markdown(inspect.getdoc(paths) or '')}\n"


def api(room: str) -> str:
    """A room: its map, then each module's public functions and classes with their docstrings."""
    package = importlib.import_module(f"distill_nb.{room}")
    parts = [f"# {room}", "", markdown(inspect.getdoc(package) or ""), ""]
    for module in modules(package):
        public = list(members(module))
        if not public:
            continue
        parts += [f"## {module.__name__.removeprefix('distill_nb.')}", ""]
        parts += [markdown(inspect.getdoc(module) or ""), ""]
        for name, member in public:
            parts += [f"### `{name}`", "", "```text", signature(name, member), "```", ""]
            parts += [markdown(inspect.getdoc(member) or ""), ""]
            if inspect.isclass(member):
                for method, function in inspect.getmembers(member, inspect.isfunction):
                    documented = function.__doc__ and function.__module__ == module.__name__
                    if documented and not method.startswith("_"):
                        parts += ["```text", signature(method, function), "```", ""]
                        parts += [markdown(inspect.getdoc(function) or ""), ""]
    return "\n".join(parts)


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """The modules below a room that can be imported outside of the sandbox, by name."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    for info in sorted(found, key=lambda info: info.name):
        if not info.ispkg:
            try:
                yield importlib.import_module(info.name)
            except ModuleNotFoundError:  # runs inside the sandbox alone, beside its own modules
                continue


def members(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Public functions and classes that a module defines and describes, in their order."""
    own = [
        (name, value)
        for name, value in vars(module).items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and value.__doc__
    ]
    yield from sorted(own, key=lambda pair: inspect.getsourcelines(pair[1])[1])


def signature(name: str, member: object) -> str:
    """How it is called."""
    try:
        said = f"{name}{inspect.signature(member)}"  # type: ignore[arg-type]
        # not where it lies on the machine that builds the pages
        return said.replace(f"{paths.ROOT}/", "").replace(str(paths.ROOT), ".")
    except (TypeError, ValueError):
        return name


def markdown(text: str) -> str:
    """A docstring as Markdown: paragraphs as they are; what is indented, a list or a table of files
    as it was laid out."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.splitlines()
        laid_out = any(line.startswith("    ") or re.search(r"\S {2,}\S", line) for line in lines)
        if laid_out:
            blocks.append("\n".join(["```text", *lines, "```"]))
        else:
            blocks.append("\n".join(escape(line) for line in lines))
    return "\n\n".join(blocks)


def escape(line: str) -> str:
    """Text without Markdown's own signs; code between backticks stays."""
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(
        p if p.startswith("`") else re.sub(r"([\\*_<>\[\]{}$|#~])", r"\\\1", p) for p in parts
    )


def cell(text: str) -> str:
    """Text within a table."""
    return escape(text).replace("\n", " ")


def _relinked(html: str, run: Path) -> str:
    """An output's links to pages beside its notebook, as they lie in the documentation."""
    html = re.sub(r'href="(\w+)\.ipynb"', r'href="\1.html"', html)
    return html.replace('href="answers.html', f'href="../sample/{run.name}/answers.html')


def copy_notebooks(run: Path, folder: Path) -> None:
    """Copy the executed notebooks of a run and of its scale's report, parameters folded. Raises
    FileNotFoundError, one sentence, where a run was not made yet."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    report = run.parent / "report"
    of_run = [run / f"{name}.ipynb" for name in NOTEBOOKS]
    for file in [*of_run, report / "analyze.ipynb", report / "published.ipynb"]:
        if not file.is_file():
            raise FileNotFoundError(
                f"{file}: the documentation shows executed notebooks; run make demo first, or name "
                "the folder of a finished run in DISTILL_NB_DOCS_RUN."
            )
        notebook = nbformat.read(file, as_version=4)
        for shown in notebook.cells:
            tags = shown.metadata.setdefault("tags", [])
            if {"parameters", "injected-parameters"} & set(tags):
                tags.append("hide-input")
            for output in shown.get("outputs", []):
                if html := output.get("data", {}).get("text/html"):
                    output["data"]["text/html"] = _relinked(html, run)
        nbformat.write(notebook, folder / file.name)
