"""Answers made elsewhere, read into our records: logs of Inspect and samples of the
lm-evaluation-harness (`--log_samples`).

What such a file does not say is None in a record, or "": there is no lenient reading and no second
grader unless the file has one, and a score that is neither right nor wrong is refused. `problem`
is a hash of what was asked, so that answers to different problems are not taken for a pair."""

import io
import json
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from distill_nb.evaluation.records import OUTCOMES
from distill_nb.grading import loops
from distill_nb.grading.outcome import missing
from distill_nb.runtime import jsonl, provenance

ZSTD = 93  # a method of compression in zip archives, which Inspect uses
RIGHT, WRONG = ("C", "true", "1", "1.0"), ("I", "N", "false", "0", "0.0", "")
# Names of scores that stand for our other readings, of our own logs and of lm-evaluation-harness's
LENIENT, SECOND = ("lenient", "flexible-extract"), ("second",)


@dataclass
class Log:
    """The answers of one file: `records` are ours but for run_name, teacher, domain and step."""

    file: Path
    tool: str  # and its version
    model: str
    benchmark: str
    score: str  # which of the file's scores is the outcome
    records: list[dict] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)  # what the file does not say, in words


def read(file: Path, score: str = "") -> list[Log]:
    """The answers of a log of Inspect (.eval or .json) or a file samples_….jsonl of the
    lm-evaluation-harness; several benchmarks in one file are several logs. score: the name of the
    score (or filter) that decides, by default the first one.

    Raises ValueError where the file is neither, or has no answers, no such score, or one that is
    neither right nor wrong."""
    if not file.is_file():
        raise ValueError(f"{file} does not exist: give a log of Inspect, or samples_….jsonl.")
    if file.suffix in (".eval", ".json"):
        logs = [_inspect(file, score)]
    elif file.suffix == ".jsonl":
        logs = [_harness(file, score)]
    else:
        raise ValueError(
            f"{file} is no log: give one of Inspect (.eval, .json), or the samples_….jsonl that "
            "lm_eval --log_samples writes."
        )
    for log in logs:
        if not log.records:
            raise ValueError(f"{file} has no answers: it was stopped early, or has no samples.")
        log.lacks = _lacks(log.records)
    return logs


def _lacks(records: list[dict]) -> list[str]:
    words = {
        "lenient_outcome": "a lenient reading, so that a lost format is not told from a lost skill",
        "second_outcome": "a second grader",
        "completion_tokens": "the length of the answers",
        "finish_reason": "whether the length limit ended them",
        "completion": "the answers' texts",
    }
    return [text for key, text in words.items() if all(r[key] in ("", None) for r in records)]


def _record(benchmark: str, task_id: str, sample: int, **known: object) -> dict:
    """A record with what is known of an answer."""
    empty = dict.fromkeys(("prompt_tokens", "completion_tokens", "seconds", "seed"))
    texts = dict.fromkeys(
        ("answer", "detail", "lenient_outcome", "second_outcome", "sandbox_level",
         "finish_reason", "completion"), "",
    )  # fmt: skip
    return {"benchmark": benchmark, "task_id": task_id, "sample": sample} | empty | texts | known


def _benchmark(name: str) -> str:
    """A benchmark's name that can be a file's: `inspect_evals/gsm8k` is gsm8k."""
    return re.sub(r"[^\w.-]+", "_", name.rpartition("/")[2])


def outcome_of(value: object, where: str, answered: bool, ending: str = "") -> str:
    """The outcome of a score's value. answered: whether the scorer found an answer; ending: how
    the answer ended, as loops.ending_of_text has it. Raises ValueError for a value that is neither
    right nor wrong."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if text in RIGHT:
        return "correct"
    if text not in WRONG:
        raise ValueError(
            f"{where} has the value {value!r}, neither right nor wrong: name another score with "
            "--score."
        )
    if answered:
        return "wrong"
    return missing(ending)


# ---- Inspect


def _inspect(file: Path, score: str) -> Log:
    try:
        head, samples = _parts(file)
        spec = head["eval"]
        tool = f"inspect_ai {spec.get('packages', {}).get('inspect_ai', '')}".strip()
        log = Log(file, tool, spec["model"], _benchmark(spec["task"]), score)
        for sample in samples:
            log.records.append(_of_inspect(log, sample))
    except (KeyError, TypeError, AttributeError, zipfile.BadZipFile, struct.error) as error:
        raise ValueError(f"{file} is no log of Inspect that can be read ({error!r}).") from None
    return log


def _parts(file: Path) -> tuple[dict, Iterable[dict]]:
    """The head of a log, and its samples one at a time."""
    if file.suffix == ".json":
        whole = jsonl.parsed(file.read_text(encoding="utf-8"), str(file), "write it again", False)
        return whole, whole.get("samples") or []
    archive = zipfile.ZipFile(file)
    names = [n for n in archive.namelist() if n.startswith("samples/")]
    start = "header.json" if "header.json" in archive.namelist() else "_journal/start.json"
    return json.loads(_member(archive, start)), _members(archive, names)


def _members(archive: zipfile.ZipFile, names: list[str]) -> Iterator[dict]:
    for name in names:
        yield json.loads(_member(archive, name))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a member; Python's zipfile knows Zstandard only from 3.14 on."""
    info = archive.getinfo(name)
    if info.compress_type != ZSTD:
        return archive.read(name)
    import pyarrow

    stream = archive.fp
    assert stream is not None
    stream.seek(info.header_offset)
    name_size, extra_size = struct.unpack("<26x2H", stream.read(30))
    stream.seek(info.header_offset + 30 + name_size + extra_size)
    packed = io.BytesIO(stream.read(info.compress_size))
    return pyarrow.input_stream(packed, compression="zstd").read()


def _of_inspect(log: Log, sample: dict) -> dict:
    scores, output = sample.get("scores") or {}, sample.get("output") or {}
    choice: dict = next(iter(output.get("choices") or []), {})
    usage = output.get("usage") or {}
    known = {
        "problem": provenance.sha256_of_json(sample["input"])[:16],
        "completion": _text(choice.get("message", {}).get("content"))
        or output.get("completion", ""),
        "finish_reason": (sample.get("metadata") or {}).get("finish_reason")  # of an export of ours
        or {"stop": "stop", "max_tokens": "length"}.get(str(choice.get("stop_reason")), ""),
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "seconds": output.get("time"),
    }
    ending = loops.ending_of_text(str(known["finish_reason"]), str(known["completion"]))
    if sample.get("error") or not scores:
        said = (sample.get("error") or {}).get("message", "it has no score")
        known |= dict.fromkeys(("outcome", "lenient_outcome", "second_outcome"), "sampling_error")
        return _record(
            log.benchmark, str(sample["id"]), sample["epoch"] - 1, **known | {"detail": said}
        )
    log.score = log.score or next(iter(scores))
    if log.score not in scores:
        raise ValueError(
            f"{log.file}, sample {sample['id']}: there is no score {log.score!r}, only "
            f"{', '.join(scores)}."
        )
    fields = dict.fromkeys(LENIENT, "lenient_outcome") | dict.fromkeys(SECOND, "second_outcome")
    fields[log.score] = "outcome"
    for name in fields.keys() & scores.keys():
        found = scores[name]
        ours = (found.get("metadata") or {}).get("outcome")  # where the log is an export of ours
        where = f"{log.file}, sample {sample['id']}, score {name!r}"
        answered = found.get("answer") not in ("", None)
        known[fields[name]] = (
            ours if ours in OUTCOMES else outcome_of(found["value"], where, answered, ending)
        )
    chosen = scores[log.score]
    known |= {"answer": str(chosen.get("answer") or ""), "detail": chosen.get("explanation") or ""}
    known |= {
        k: v for k, v in (sample.get("metadata") or {}).items() if k in ("seed", "sandbox_level")
    }
    return _record(log.benchmark, str(sample["id"]), sample["epoch"] - 1, **known)


def _text(content: object) -> str:
    """A message's content as one text, its reasoning within <think>."""
    if not isinstance(content, list):
        return str(content or "")
    parts = []
    for part in content:
        if part.get("type") == "reasoning":
            parts.append(f"<think>{part.get('reasoning', '')}</think>")
        elif part.get("type") == "text":
            parts.append(part.get("text", ""))
    return "".join(parts)


# ---- lm-evaluation-harness


def _harness(file: Path, score: str) -> Log:
    """A file of samples; what it says once for each filter is one answer."""
    name = re.sub(r"^samples_|_\d{4}-\d\d-\d\dT[\d-]+(\.\d+)?$", "", file.stem)
    tool, model = _run_of_harness(file)
    log = Log(file, tool, model, _benchmark(name), score)
    by_answer: dict[int, dict[str, dict]] = {}
    with open(file, "rb") as stream:
        for line in jsonl.rows(stream, str(file), finite=False):
            row = line.row
            if "doc_id" not in row or "resps" not in row:
                raise ValueError(f"{file} is no file of samples that lm_eval --log_samples writes.")
            by_answer.setdefault(row["doc_id"], {})[row.get("filter", "none")] = row
    for doc_id, by_filter in sorted(by_answer.items()):
        log.records += _of_harness(log, doc_id, by_filter)
    return log


def _run_of_harness(file: Path) -> tuple[str, str]:
    """(tool with its version, model) of the results_….json beside a file of samples."""
    when = re.search(r"\d{4}-\d\d-\d\dT[\d.-]+$", file.stem)
    beside = file.with_name(f"results_{when.group(0)}.json") if when else file
    if when and beside.is_file():
        said = json.loads(beside.read_text(encoding="utf-8"))
        version = said.get("lm_eval_version") or said.get("git_hash") or ""
        model = said.get("model_name") or said.get("config", {}).get("model") or ""
        return f"lm_eval {version}".strip(), str(model)
    return "lm_eval", ""


def _of_harness(log: Log, doc_id: int, by_filter: dict[str, dict]) -> list[dict]:
    """The answer to one document; one record, for the harness scores its samples together."""
    log.score = log.score or next(iter(by_filter))
    if log.score not in by_filter:
        raise ValueError(
            f"{log.file}, doc_id {doc_id}: there is no filter {log.score!r}, only "
            f"{', '.join(by_filter)}."
        )
    row = by_filter[log.score]
    found = {}
    for name, other in by_filter.items():
        metric = next((m for m in other.get("metrics") or [] if m in other), None)
        if metric is None:
            raise ValueError(f"{log.file}, doc_id {doc_id}: it has no metric.")
        where = f"{log.file}, doc_id {doc_id}, {metric} of {name!r}"
        found[name] = outcome_of(other[metric], where, bool(_answer(other)))
    lenient = next((found[name] for name in LENIENT if name in found and name != log.score), "")
    known = {
        "problem": str(row.get("doc_hash") or "")[:16],
        "outcome": found[log.score],
        "lenient_outcome": lenient,
        "answer": _answer(row),
        "completion": _first(row["resps"]),
    }
    return [_record(log.benchmark, str(doc_id), 0, **known)]


def _answer(row: dict) -> str:
    """What a filter found; "" where the harness says that it found nothing."""
    found = _first(row.get("filtered_resps"))
    return "" if found == "[invalid]" else found


def _first(nested: object) -> str:
    """The first text of nested lists; of a log-likelihood there is none."""
    while isinstance(nested, list):
        if not nested:
            return ""
        nested = nested[0]
    return nested if isinstance(nested, str) else ""
