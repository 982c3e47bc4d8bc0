"""Fixtures that all tests share. The cache of built students is left where it is: building them
takes a while."""

import os
import subprocess
import sys
from pathlib import Path

import chromium
import pytest

# Tiny models are fastest on one thread, and threads that wait for a busy neighbour are slow: for
# child processes too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB, which it fills with zeros at each start
ODD = "a b'é\"c"  # a folder's name with a blank, quotes, and a letter that is not ASCII
KEY = "sk-fake-0123456789-never-to-be-seen"  # of an API teacher


# Files whose tests take minutes, longest first: with several workers they begin, and the short ones
# fill the gaps.
STUDY = ("test_graph", "test_slurm", "test_chaos_graph")  # share one study (study_runs)
LONGEST = (
    *STUDY,
    "test_readme",
    "test_pocket",
    "test_gpu_check",
    "test_chaos",
    "test_vllm",
    "test_command_line",
    "test_browser",
    "test_slurm_time",
    "test_sharding",
    "test_parallel",
    "test_plan",
    "test_notebooks",
    "test_bench_train",
    "test_unsloth",
    "test_train",
    "test_embeddings",
)


def pytest_collection_modifyitems(items):
    items.sort(
        key=lambda item: (
            LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)
        )
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A worker takes whole files, and one of them all that share the study."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return STUDY[0] if Path(file).stem in STUDY else file

    return Scheduler(config, log)


@pytest.fixture(scope="session")
def inspect_python() -> str:
    """The Python of an environment that has Inspect, which does not install beside our packages."""
    from distill_nb.runtime import paths

    python = paths.ROOT / ".venv" / "inspect" / "bin" / "python"
    if not python.is_file():
        pytest.skip("Inspect is not installed: make setup-ci installs it")
    return str(python)


@pytest.fixture(scope="session")
def chromium_process():
    yield from chromium.launched()


@pytest.fixture
def browser(chromium_process):
    """Headless Chromium."""
    return chromium_process()


@pytest.fixture
def data_dir() -> Path:
    """The study's own data, which is not part of the repository."""
    folder = os.environ.get("DISTILL_NB_TEST_DATA", "")
    if not folder:
        pytest.skip("DISTILL_NB_TEST_DATA is not set: it names the folder of the study's data")
    if not Path(folder).is_dir():
        pytest.skip(f"DISTILL_NB_TEST_DATA={folder} is not a folder")
    return Path(folder)


@pytest.fixture
def runs_dir(tmp_path, monkeypatch) -> Path:
    """An empty place for runs, for this process and those that it starts; not made yet."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("DISTILL_NB_RUNS", str(folder))
    return folder


@pytest.fixture
def odd_runs_dir(tmp_path, monkeypatch) -> Path:
    """As runs_dir, in a folder with an odd name."""
    folder = tmp_path / ODD / "runs"
    monkeypatch.setenv("DISTILL_NB_RUNS", str(folder))
    return folder


@pytest.fixture
def teacher_keys(monkeypatch):
    """The keys of API teachers, as in no real environment; results of batches in small groups."""
    from distill_nb.traces.teacher import batches

    for name in ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setattr(batches, "GROUP", 2)


def snakemake(repository: Path, runs: Path, *words, **environment) -> subprocess.CompletedProcess:
    """Run the study's graph of a copy of the repository, as a user does; Snakemake's own files go
    beside `runs`."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(repository / "Snakefile"),
        "--directory",
        str(runs.parent),
        "--cores",
        "2",
        "--nocolor",
        *map(str, words),
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=repository,
        env=os.environ | {"DISTILL_NB_RUNS": str(runs)} | environment,
    )


@pytest.fixture(scope="session")
def study_runs(tmp_path_factory) -> Path:
    """The runs folder of a whole tiny study: four sets, ten runs, three baselines, analysis and
    paper, made once."""
    pytest.importorskip("snakemake", reason="Snakemake is not installed: make setup-study")
    pytest.importorskip("evalplus", reason="evalplus is not installed: make setup-study")
    from distill_nb.runtime import gpus, paths

    runs = tmp_path_factory.mktemp("study") / ODD / "runs"
    # nothing here uses them, and each stage gets its own
    fake = {} if gpus.visible() else {"CUDA_VISIBLE_DEVICES": "0,1"}
    done = snakemake(
        paths.ROOT,
        runs,
        "--config",
        "scale=tiny",
        "--resources",
        f"gpu={len(gpus.visible()) or 2}",
        ANTHROPIC_API_KEY=KEY,
        **fake,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return runs


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A Slurm of one node, up while a file's tests run."""
    import slurm

    pytest.importorskip(
        "snakemake_executor_plugin_slurm", reason="the Slurm plugin is not installed: make setup-ci"
    )
    if why := slurm.why_not():
        pytest.skip(why)
    try:
        with slurm.Slurm(tmp_path_factory.mktemp("slurm") / "one") as found:
            yield found
    except PermissionError as error:
        pytest.skip(f"no devices can be made here: {error}")
