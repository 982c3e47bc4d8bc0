"""What this machine has of what a study needs, and what each lack costs."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from distill_nb.grading.sandbox import pool
from distill_nb.runtime import compiler, gpus, paths
from distill_nb.runtime.devices import GIB

ROOM = 20  # GiB of free disk under which a run at full size may not fit


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; what its lack costs, or what differs and what to do, "" where
    nothing is lacking."""

    what: str
    found: str
    lack: str = ""


def examine() -> Iterator[Finding]:
    """Look at this machine, one thing after another. Nothing is downloaded or loaded onto a GPU."""
    yield _python()
    yield from _torch()
    yield _driver()
    yield _compiler()
    yield _sandbox()
    for place, what in ((paths.runs(), "runs"), (paths.cache(), "the cache")):
        yield _disk(place, what)
    yield from _packages()
    yield from _tokens()


def _python() -> Finding:
    version = platform.python_version_tuple()
    fine = (3, 11) <= (int(version[0]), int(version[1])) <= (3, 13)
    lack = "" if fine else "the pinned packages are for Python 3.11 to 3.13"
    return Finding("Python", platform.python_version(), lack)


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", "cannot be imported", f"nothing works without it: {error}")
        return
    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU"
    yield Finding("torch", f"{torch.__version__}, {build}")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield Finding("GPU", ", ".join(names))
    else:
        lack = "students of the study do not fit a CPU: only pocket and tiny runs are possible"
        if gpus.visible() and not torch.version.cuda:
            lack = "torch cannot use the GPU that is here: install a build for CUDA"
        yield Finding("GPU", "none that torch can use", lack)


def _driver() -> Finding:
    question = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return Finding("CUDA driver", "none", "needed on a GPU only")
    found = answer.stdout.strip().partition("\n")[0]
    if answer.returncode:
        return Finding("CUDA driver", "nvidia-smi fails", f"no GPU can be used: {found}")
    return Finding("CUDA driver", found)


def _compiler() -> Finding:
    headers = (compiler.headers() / "Python.h").is_file()
    words = (
        f"{compiler.found() or 'none'}, Python's headers {'are there' if headers else 'missing'}"
    )
    lack = f"nothing runs on a GPU: {compiler.REMEDY}" if compiler.lacking() else ""
    return Finding("C compiler", words, lack)


def _sandbox() -> Finding:
    """The strongest level that works here; model-written code runs in it."""
    for level in pool.LEVELS[:-1]:
        if not pool.why_unavailable(level):
            return Finding("sandbox", level)
    lack = "code benchmarks refuse to run without allow_unsafe: true; install bubblewrap"
    return Finding("sandbox", pool.why_unavailable(pool.LEVELS[0]), lack)


def _disk(place: Path, what: str) -> Finding:
    there = next(p for p in (place, *place.parents) if p.exists())
    free = shutil.disk_usage(there).free / GIB
    lack = (
        "" if free >= ROOM else "a run at full size may not fit; distill-nb plan says what it takes"
    )
    return Finding(f"disk for {what}", f"{free:,.0f} GiB free in {paths.movable(place)}", lack)


def _packages() -> Iterator[Finding]:
    costs = {
        "unsloth": "training on a GPU is slower with Transformers alone",
        "vllm": "evaluation is slower with Transformers alone",
        "evalplus": "no HumanEval+ and no MBPP+: make setup-study",
        "anthropic": "no traces from Claude: make setup-study",
        "openai": "no traces from a server that speaks OpenAI's API: make setup-study",
        "snakemake": "no make study: make setup-study",
    }
    for name, cost in costs.items():
        there = util.find_spec(name) is not None
        yield Finding(name, _version(name) if there else "not installed", "" if there else cost)
    latex = shutil.which("latexmk")
    yield Finding(
        "LaTeX", latex or "not installed", "" if latex else "the paper stays without a PDF"
    )


def _version(name: str) -> str:
    """The version of an installed package, whichever of its builds it is."""
    for package in (name, f"{name}-cpu"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return "installed"


def _tokens() -> Iterator[Finding]:
    import huggingface_hub

    costs = {
        "Hugging Face": "no gated student, such as Llama: hf auth login",
        "Anthropic": "no new traces from Claude: set ANTHROPIC_API_KEY",
        "OpenAI": "no new traces from OpenAI-compatible APIs that want a key: set OPENAI_API_KEY",
    }
    there = {
        "Hugging Face": bool(huggingface_hub.get_token()),
        "Anthropic": bool(os.environ.get("ANTHROPIC_API_KEY")),
        "OpenAI": bool(os.environ.get("OPENAI_API_KEY")),
    }
    for name, found in there.items():
        yield Finding(f"key for {name}", "set" if found else "none", "" if found else costs[name])


def table() -> str:
    """What `examine` found."""
    return as_text(examine())


def as_text(findings: Iterable[Finding], indent: int = 0) -> str:
    """One line each; a lack and its cost or remedy are marked, on a line below."""
    lines = []
    for finding in findings:
        lines.append(f"{'–' if finding.lack else '✓'} {finding.what:<20} {finding.found}")
        if finding.lack:
            lines.append(f"  {'':<20} {finding.lack}")
    return "\n".join(" " * indent + line for line in lines)
