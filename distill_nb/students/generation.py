"""What a student's own files say on generation, of which nothing is used.

Transformers adds generation_config.json, or keys of config.json, to whatever it is asked for, also
to a GenerationConfig that it is given: a repetition penalty in there changes greedy answers. vLLM
takes stop tokens from it, also where it is told to take nothing (`generation_config: vllm`), and
the code of some of its models takes more. Here answers are made by a run's parameters and its
template's stop tokens alone: Transformers gets an empty GenerationConfig (student.load), vLLM an
empty file (`nothing`). What the student's own holds is written down."""

from __future__ import annotations

import json
import logging
import math
import shutil
from pathlib import Path
from typing import Any

from distill_nb.params import Params
from distill_nb.runtime import files, paths
from distill_nb.students import chat, sources, student

log = logging.getLogger(__name__)

FILE = "generation_config.json"
# bookkeeping, and tokens that a prompt or a batch has from the chat template
WITHOUT_EFFECT = (
    "_from_model_config", "transformers_version", "bos_token_id", "pad_token_id",
    "decoder_start_token_id",
)  # fmt: skip


def nothing() -> Path:
    """A folder with an empty generation_config.json, always the same: vLLM compiles anew for
    another."""
    folder = paths.cache() / "no_generation_config"
    files.write_json(folder / FILE, {})
    return folder


def own_file(p: Params, name: str) -> Path | None:
    """One of a student's own files, None where it has none, or where a hub does not give it."""
    from transformers.utils import cached_file

    found = cached_file(
        sources.source(p),
        name,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def copy(p: Params, new: Path) -> None:
    """Put the student's file, or none, into the folder of one that is made from it."""
    (new / FILE).unlink(missing_ok=True)
    if file := own_file(p, FILE):
        shutil.copyfile(file, new / FILE)


def record(p: Params) -> dict[str, Any]:
    """For the provenance: {"file": what generation_config.json holds, None without one, or why it
    cannot be read; "config": what config.json says of the same kind; "not_used": the keys of both
    that Transformers would have followed}."""
    from transformers import GenerationConfig

    held, said = _read(own_file(p, FILE)), _read(own_file(p, "config.json"))
    known = GenerationConfig().to_dict().keys() - set(WITHOUT_EFFECT)
    top = said if isinstance(said, dict) else {}
    inner = top.get("text_config")
    both = top | inner if isinstance(inner, dict) else top
    steers = {k: v for k, v in both.items() if k in known and _differs(p, k, v)}
    of_file = held if isinstance(held, dict) else {}
    not_used = {k for k, v in of_file.items() if k not in WITHOUT_EFFECT and _differs(p, k, v)}
    return {"file": held, "config": steers, "not_used": sorted(not_used | steers.keys())}


def say(found: dict[str, Any]) -> None:
    """Say what is not used, if anything. found: of `record`."""
    if isinstance(found["file"], str):
        log.info(f"The student's {FILE} is not used, and it {found['file']}.")
    if found["not_used"]:
        log.info(
            f"Of the student's own generation settings {', '.join(found['not_used'])} are not "
            "used: answers are made by this run's parameters alone."
        )


def _differs(p: Params, key: str, value: Any) -> bool:
    """Whether a setting is another than Transformers' default, or names other stop tokens than the
    template."""
    from transformers import GenerationConfig

    if key == "eos_token_id":
        template = chat.template_for(p.student, p.chat_template)
        named = value if isinstance(value, list) else [value]
        stops = chat.stop_ids(student.load_tokenizer(p), template)
        return any(token not in stops for token in named if token is not None)
    return value is not None and value != GenerationConfig._get_default_generation_params().get(key)


def _read(file: Path | None) -> dict[str, Any] | str | None:
    """What a JSON file holds, or why it cannot be read, as the end of a sentence. Numbers that JSON
    does not have (NaN, 1e999) are kept as text."""
    if file is None:
        return None

    def number(text: str) -> float | str:
        return float(text) if math.isfinite(float(text)) else text

    try:
        found = json.loads(file.read_text(encoding="utf-8"), parse_constant=str, parse_float=number)
    except (OSError, ValueError, RecursionError) as error:
        return f"cannot be read ({type(error).__name__})"
    return found if isinstance(found, dict) else "holds no JSON object"
