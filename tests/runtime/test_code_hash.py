"""Which code a result depends on."""

import json
import shutil
import subprocess
import sys

import pytest

from distill_nb.runtime import paths
from distill_nb.runtime.code_hash import content_hash, hashes, modules_of


def names(entry, root=paths.ROOT):
    return {f.relative_to(root / "distill_nb").as_posix() for f in modules_of(entry, root)}


@pytest.fixture
def small(tmp_path):
    """A package of its own: a → sub.b (inside a function), sub.b → c; sub imports by name; d starts
    e; a notebook."""
    by_name = (
        "from importlib import import_module\n\ndef load(n):\n    return import_module(f'.{n}', "
        "__package__)\n"
    )
    files = {
        "__init__": "",
        "a": "def f():\n    from .sub import b\n",
        "c": "X = 1\n",
        "alone": "import json\n",
        "d": "COMMAND = ['python', '-m', 'distill_nb.e']\n",
        "e": "'e.py is a docstring'\n",
        "sub/__init__": by_name,
        "sub/b": "from distill_nb import c\n",
        "sub/g": "from ..d import COMMAND\nSCRIPTS = ('h.py',)\n",
        "sub/h": "",
    }
    for name, text in files.items():
        file = tmp_path / "distill_nb" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    cells = [
        {"cell_type": "markdown", "source": ["from distill_nb import c"]},
        {
            "cell_type": "code",
            "source": ["%matplotlib inline\n", "from distill_nb import (\n", "    d,\n", ")"],
            "outputs": [],
        },
    ]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}))
    return tmp_path


def test_imports_are_followed_wherever_they_stand(small):
    assert names("distill_nb.c", small) == {"__init__.py", "c.py"}
    # a package runs first
    assert names("distill_nb.sub.h", small) >= {"sub/__init__.py", "sub/h.py", "__init__.py"}
    # g and h by the name that is made at run time
    assert names("distill_nb/a.py", small) == {
        "__init__.py",
        "a.py",
        "c.py",
        "d.py",
        "e.py",
        *(f"sub/{n}.py" for n in ("__init__", "b", "g", "h")),
    }
    assert names(small / "n.ipynb", small) == {"__init__.py", "d.py", "e.py"}  # words are no code


@pytest.mark.parametrize(
    ("changed", "by"),
    [
        ("c.py", {"a", "sub.b", "sub.g"}),
        ("e.py", {"a", "d", "sub.b", "sub.g", "n"}),
        ("alone.py", {"alone"}),
        ("sub/b.py", {"a", "sub.b", "sub.g"}),
    ],
)
def test_a_change_counts_for_what_depends_on_it_and_for_nothing_else(small, changed, by):
    entries = {n: f"distill_nb.{n}" for n in ("a", "d", "alone", "sub.b", "sub.g")} | {
        "n": "n.ipynb"
    }
    before = {n: hashes(e, root=small) for n, e in entries.items()}
    file = small / "distill_nb" / changed
    file.write_text(file.read_text() + "# changed\n")
    assert {n for n, e in entries.items() if hashes(e, root=small) != before[n]} == by


def test_a_notebooks_outputs_do_not_count_and_its_cells_do(small):
    file = small / "n.ipynb"
    before = hashes("n.ipynb", file, small)
    assert before[str(file)] == content_hash(file)[:16]
    nb = json.loads(file.read_text())
    nb["cells"][1]["outputs"] = [{"text": "42"}]
    nb["metadata"] = {"widgets": 1}
    file.write_text(json.dumps(nb, indent=3))
    assert hashes("n.ipynb", file, small) == before
    nb["cells"][1]["source"].append("\nprint(1)")
    file.write_text(json.dumps(nb))
    assert hashes("n.ipynb", file, small) != before


def test_the_projects_own_modules():
    """What Python imports by itself when a module is loaded is found, and so are those that it
    starts or imports later."""
    code = (
        "import sys, distill_nb.evaluation.evaluate\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'distill_nb'))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=paths.ROOT, check=True
    )
    found = {str(f) for f in modules_of("distill_nb.evaluation.evaluate")}
    assert found >= set(loaded.stdout.split()) and len(loaded.stdout.split()) > 10
    assert names("distill_nb.evaluation.evaluate") >= {
        "evaluation/engines/vllm_process.py",
        "grading/math_worker.py",
        "grading/sandbox/worker.py",
        "grading/sandbox/child.py",
        "benchmarks/livecodebench.py",
    }
    assert not names("distill_nb.evaluation.evaluate") & {
        "training/train.py",
        "analysis/results.py",
        "analysis/published/findings.py",
        "report/notebook_page.py",
        "traces/teacher/generation.py",
    }
    assert not names("distill_nb.training.train") & {
        "evaluation/evaluate.py",
        "evaluation/collect.py",
        "analysis/results.py",
        "report/tables.py",
        "report/run_figures.py",
        "report/study_figures.py",
    }
    assert names("notebooks/train.ipynb") > names("distill_nb.training.train")


@pytest.mark.parametrize("entry", ["distill_nb.no_such", "notebooks/no_such.ipynb"])
def test_what_is_not_there_is_named(entry):
    with pytest.raises(ValueError, match="no_such"):
        hashes(entry)


def test_a_module_that_is_no_python_is_named(small):
    shutil.copy(small / "n.ipynb", small / "distill_nb" / "broken.py")
    (small / "distill_nb" / "broken.py").write_text("def\n")
    with pytest.raises(ValueError, match=r"broken\.py.*not Python"):
        modules_of("distill_nb.broken", small)
