"""profiles/skypilot: a managed job that goes on after its machine was taken away. It was never run
on a cloud; SkyPilot itself reads it where it is installed (pip install skypilot, in an environment
of its own with this one's tests)."""

import re

import pytest
import yaml
from click.testing import CliRunner

from distill_nb.__main__ import main
from distill_nb.runtime import paths
from distill_nb.study import study_file

FILE = paths.ROOT / "profiles" / "skypilot" / "study.yaml"


@pytest.fixture
def job():
    return yaml.safe_load(FILE.read_text())


def test_the_job_keeps_its_runs_in_a_bucket_and_has_no_key(job):
    (place, bucket), *others = job["file_mounts"].items()
    assert f"export DISTILL_NB_RUNS={place}\n" in job["run"] and not others
    assert bucket["mode"] == "MOUNT_CACHED" and job["resources"]["use_spot"] is True
    assert set(job["secrets"].values()) == {""}
    for name in job["secrets"]:  # an empty key is none
        assert f'[ -n "${name}" ] || unset {name}\n' in job["run"]


def test_the_jobs_variables_are_those_of_make_study(job):
    (line,) = [line for line in job["run"].splitlines() if line.startswith("make study")]
    given = dict(re.findall(r'(\w+)="\$(\w+)"', line))
    assert given == {name: name for name in job["envs"]} and set(given) == {
        "STUDY",
        "SCALE",
        "SHARDS",
    }
    makefile = (paths.ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^study: .*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    options = CliRunner().invoke(main, ["study", "--help"]).output
    for name in given:
        assert f"$({name})" in recipe
        if name != "STUDY":
            assert f"--{name.lower()}" in recipe and f"--{name.lower()}" in options
    assert study_file.find(job["envs"]["STUDY"]).name == "published.yaml"


def test_skypilot_reads_the_job():
    sky = pytest.importorskip("sky", reason="SkyPilot is not installed: pip install skypilot")
    task = sky.Task.from_yaml(str(FILE))
    (resources,) = task.resources
    assert resources.use_spot and resources.accelerators == {"H100": 1}
    assert resources.job_recovery["max_restarts_on_errors"] == 3
    assert set(task.storage_mounts) == {"/runs"} and task.envs["SCALE"] == "full"
