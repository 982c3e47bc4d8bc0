"""Which files of a study go into an archive, and what each is.

A study is a folder with runs, sets of traces and a report: runs/full, or runs/my_study/full. Where
it has the sets and the base students' answers in common with other studies, they are links there:
then the sets that its runs learnt from go along, and of the answers the copies in its runs."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from distill_nb.runtime import provenance

# Folders with what a run needs to go on, not what it made.
LEFT_OUT = {"state", "made", "parts", "__pycache__"}
WEIGHTS = ("*/checkpoints/*/adapter_model.*",)
TRACES = ("traces/*/*.parquet", "traces/*/teacher/*")
KINDS = (  # the first pattern that fits says what a file is
    ("study.yaml", "the study file: its runs, baselines and sets"),
    ("traces/*/train.parquet", "reasoning traces to train on"),
    ("traces/*/rejected.parquet", "every other row of the source, with the reason"),
    ("traces/*/funnel.json", "how many rows each reason took"),
    ("traces/*/ledger.json", "lengths of the traces, and what the length limit does to them"),
    ("traces/*/teacher/*", "what the API teacher was asked and answered"),
    ("*/checkpoints/*/adapter_model.*", "weights of a LoRA adapter"),
    ("*/checkpoints/*/adapter_config.json", "settings of a LoRA adapter, in PEFT's layout"),
    ("*/checkpoints/*/proof.json", "the trainer's log-probabilities of a fixed text"),
    ("*/checkpoints/*/README.md", "model card"),
    ("*/eval/*/proof.json", "whether the engine applied the adapter"),
    ("*/eval/*.jsonl", "records: one answer a line, with its outcome"),
    ("_base/*.jsonl", "records of a base student, made once for several runs"),
    ("*/metrics.jsonl", "losses and learning rate, one step a line"),
    ("*provenance*.json", "what made it: parameters, versions, code by hash, device, times"),
    ("report/*", "the report of the study"),
    ("*.ipynb", "an executed notebook"),
    ("*.html", "a page to read"),
    ("*.jsonl", "records, one a line"),
)
TYPES = {
    ".jsonl": "application/x-ndjson",
    ".ipynb": "application/x-ipynb+json",
    ".parquet": "application/vnd.apache.parquet",
    ".safetensors": "application/octet-stream",
    ".md": "text/markdown",
    ".yaml": "application/yaml",
}


@dataclass(frozen=True)
class StudyFile:
    """A file of a study: its path below the study's folder, with /."""

    path: str
    source: Path

    @property
    def kind(self) -> str:
        """What it is, in words; "" where nothing is known of it."""
        return next((said for pattern, said in KINDS if fnmatch(self.path, pattern)), "")

    @property
    def media_type(self) -> str:
        guessed = mimetypes.guess_type(self.path)[0]
        return TYPES.get(self.source.suffix) or guessed or "application/octet-stream"


def stage_of(path: str) -> str:
    """train, eval, analyze or import of a provenance_<stage>.json, traces of a set's
    provenance.json; "" of any other file."""
    if fnmatch(path, "traces/*/provenance.json"):
        return "traces"
    found = re.fullmatch(r"[^/]+/provenance_(train|eval|analyze|import)\.json", path)
    return found[1] if found else ""


def sets_of(study: Path) -> set[str]:
    """The names of the sets, or files, that the runs of a study learnt from."""
    files = study.glob("*/provenance_train.json")
    records = [provenance.read(file, "leave its folder out") for file in files]
    return {str(record.get("parameters", {}).get("dataset")) for record in records}


def listed(study: Path, weights: bool, traces: bool) -> Iterator[StudyFile]:
    """The files of a study, by path; without hidden and half-written ones, and those of LEFT_OUT.
    weights, traces: whether those go along, too."""
    out = (() if weights else WEIGHTS) + (() if traces else TRACES)
    linked = {name for name in ("traces", "_base") if (study / name).is_symlink()}
    for folder, names, files in os.walk(study, followlinks=True):
        names[:] = sorted(n for n in names if n not in LEFT_OUT and not n.startswith("."))
        names[:] = [n for n in names if not n.endswith(".partial")]
        if Path(folder) == study and "_base" in linked:
            names.remove("_base")
        if Path(folder) == study / "traces" and "traces" in linked:
            names[:] = [name for name in names if name in sets_of(study)]
        for name in sorted(files):
            source = Path(folder) / name
            path = source.relative_to(study).as_posix()
            if name.startswith(".") or name.endswith(".partial") or not source.is_file():
                continue
            if not any(fnmatch(path, pattern) for pattern in out):
                yield StudyFile(path, source)
