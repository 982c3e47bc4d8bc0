"""Places to run: the repository's address, where one belongs, and Binder's environment."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from urllib.parse import unquote

import pytest
import simulated_runs
from packaging.requirements import Requirement

from distill_nb.runtime import paths

RUNS = [("pocket_math.yaml", "one", {}), ("pocket_code.yaml", "two", {})]
ADDRESSED = ("README.md", "pyproject.toml", "CITATION.cff", "notebooks/hosted.ipynb")


@pytest.fixture
def tree(tmp_path):
    """A copy of the files that an address is written into."""
    (tmp_path / "notebooks").mkdir()
    for name in ADDRESSED:
        shutil.copyfile(paths.ROOT / name, tmp_path / name)
    return tmp_path


def address(tree, url: str) -> subprocess.CompletedProcess:
    line = [sys.executable, str(paths.ROOT / ".ci" / "address"), url, str(tree)]
    return subprocess.run(line, capture_output=True, text=True)


def written(tree) -> dict[str, str]:
    return {name: (tree / name).read_text(encoding="utf-8") for name in ADDRESSED}


def test_an_address_is_written_where_one_belongs(tree):
    assert address(tree, "https://github.com/Some-Lab/distill.nb").returncode == 0
    text = written(tree)
    urls = tomllib.loads(text["pyproject.toml"])["project"]["urls"]
    assert urls["Repository"] == "https://github.com/Some-Lab/distill.nb"
    assert urls["Documentation"] == "https://some-lab.github.io/distill.nb/"
    assert "\nrepository-code: https://github.com/Some-Lab/distill.nb\n" in text["CITATION.cff"]
    cells = json.loads(text["notebooks/hosted.ipynb"])["cells"]
    parameters = next(c for c in cells if c["metadata"].get("tags") == ["parameters"])
    values: dict = {}
    exec("".join(parameters["source"]), values)
    assert values["package"] == "git+https://github.com/Some-Lab/distill.nb"
    targets = re.findall(r"\]\((https?://[^)]+)\)", text["README.md"].split("\n\n")[2])
    opened = [unquote(target) for target in targets if ".ipynb" in target]
    assert len(opened) == 2
    assert (paths.ROOT / ".github" / "workflows" / "checks.yaml").is_file()
    for target in opened:
        notebook = re.search(r"notebooks/\w+\.ipynb", target)[0]
        assert "Some-Lab/distill.nb" in target and (paths.ROOT / notebook).is_file()


def test_a_second_address_replaces_the_first(tree):
    before = written(tree)
    for url in ("https://github.com/first/one", "https://github.com/second/two.git/"):
        assert address(tree, url).returncode == 0
    twice = written(tree)
    for name, text in before.items():
        (tree / name).write_text(text, encoding="utf-8")
    address(tree, "https://github.com/second/two")
    assert twice == written(tree) and "first/one" not in str(twice)


@pytest.mark.parametrize("url", ["", "github.com/a/b", "https://github.com/a", "https://a.b/c/d e"])
def test_another_form_of_address_is_refused(tree, url):
    before = written(tree)
    done = address(tree, url)
    assert done.returncode == 1 and "ADDRESS=https://github.com/OWNER/NAME" in done.stderr
    assert written(tree) == before


def normal(name: str) -> str:
    """A distribution's name in its one form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: set[str]) -> set[str]:
    """The distributions that these need, themselves among them."""
    found: set[str] = set()
    waiting = {normal(name) for name in names}
    while waiting:
        name = waiting.pop()
        found.add(name)
        needs = map(Requirement, metadata.requires(name) or [])
        wanted = [r for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})]
        waiting |= {normal(need.name) for need in wanted} - found
    return found


WITHOUT = """
import sys
class Others:
    absent = frozenset({absent!r})
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in self.absent:
            raise ModuleNotFoundError(f"{{top}} is not in .binder/requirements.txt", name=name)
sys.meta_path.insert(0, Others())
"""


@pytest.mark.parametrize("name", ["published", "analyze"])
def test_what_binder_opens_needs_no_more_than_its_environment(name, tmp_path):
    """Of two runs, for analyze reads them."""
    simulated_runs.pocket(tmp_path / "runs" / "pocket", *RUNS)
    lines = (paths.ROOT / ".binder" / "requirements.txt").read_text().splitlines()
    needs = closure({line for line in lines if line and line[0].isalpha()})
    assert "torch" not in needs and "pandas" in needs
    known = metadata.packages_distributions()
    absent = {top for top, names in known.items() if not needs & set(map(normal, names))}
    absent -= {"distill_nb"}
    assert {"torch", "transformers"} <= absent
    cells = json.loads((paths.ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    program = WITHOUT.format(absent=sorted(absent)) + "\n".join(code)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"DISTILL_NB_RUNS": str(tmp_path / "runs")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
