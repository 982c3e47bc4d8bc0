"""Whether a student is whole, before any work: its config, its weights, its tokenizer.

Only headers are read. Which tensors a student needs, and under which names and shapes they may be
stored, is known to Transformers alone: heads are tied, layers renamed, experts made one tensor. So
it loads the student from tensors without data, and its own report is looked at. A tensor that is
missing would be random at each load, and nothing later would say so."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from distill_nb.params import Params
from distill_nb.runtime import paths
from distill_nb.students import chat, check_tokenizer, integrity, sources
from distill_nb.students.integrity import Shapes

if TYPE_CHECKING:
    from transformers import PretrainedConfig

BIN, BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
ADAPTER = "adapter_config.json"
EXPERT = re.compile(r"(.*\.experts)\.(\d+)\.(.*)")

_whole: set[tuple] = set()  # the folders that were found whole, with the state of their files


def check(p: Params) -> str:
    """The version of a student that is whole, as sources.check_student gives it. Of the hub's, the
    weights are looked at by `check_weights`, once they are wanted.

    Raises ValueError, one sentence that names the file and the remedy."""
    if Path(sources.source(p)).is_dir():
        check_folder(p)
        return sources.check_student(p)
    version = sources.check_student(p)  # the hub can be reached
    check_tokenizer.check(p, check_config(p))
    return version


def check_folder(p: Params) -> None:
    """`check` of a student in a folder. It is repeated only where a file has changed."""
    where = Path(sources.source(p))
    template = chat.template_for(p.student, p.chat_template)
    files = [f for f in sorted(where.iterdir()) if f.is_file()]
    state = tuple((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    if (where, template, state) in _whole:
        return
    config = check_config(p)
    check_tokenizer.check_files(where)
    _refuse_other_tensors(p, config, _stored(where))
    check_tokenizer.check(p, config)
    _whole.add((where, template, state))


def has_weights(p: Params) -> bool:
    """Whether a student's folder has weights, or says that it has."""
    where = Path(sources.source(p))
    return any((where / f).exists() for f in (sources.WEIGHTS, sources.INDEX, BIN, BIN_INDEX))


def check_weights(p: Params) -> None:
    """Look at the weights before they are loaded; the hub's are downloaded where they are not in
    its cache. Raises ValueError as `check` does."""
    if Path(sources.source(p)).is_dir():
        check_folder(p)
        return
    files = sources.weight_files(p)
    state = tuple(file.resolve() for file in files)
    if state not in _whole:
        _refuse_other_tensors(p, check_config(p), _joined(files))
        _whole.add(state)


def check_config(p: Params) -> PretrainedConfig:
    """The student's config. Raises ValueError where it is damaged, or of no text model."""
    import transformers

    where = Path(sources.source(p))
    if where.is_dir():
        if (where / ADAPTER).exists():
            _refuse_adapter(where)
        integrity.mapping("student", where / "config.json")
    try:
        # an unknown model type with code of its own would be asked about on the terminal
        config = transformers.AutoConfig.from_pretrained(sources.source(p), trust_remote_code=False)
    except Exception as error:  # of many kinds
        raise ValueError(
            f"student: Transformers {transformers.__version__} cannot read config.json of "
            f"{p.student} ({integrity.first_line(error)}); correct it, or name another student."
        ) from None
    if type(config) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ValueError(
            f"student: config.json of {p.student} has model_type {config.model_type}, which is no "
            "causal language model in Transformers; name a student that is one."
        )
    return config


def _refuse_adapter(where: Path) -> None:
    """A folder with an adapter: alone it is no student, and beside one Transformers would add it,
    and vLLM would not."""
    if (where / "config.json").exists():
        raise ValueError(
            f"student: {paths.movable(where)} has an {ADAPTER} beside its config.json, and only "
            f"some engines would add that adapter; move {ADAPTER} and its weights to a folder of "
            "their own, and name that as adapter."
        )
    base = integrity.mapping("student", where / ADAPTER).get("base_model_name_or_path")
    raise ValueError(
        f"student: {paths.movable(where)} is an adapter, not a student; set adapter to it, and "
        f"student to the model that it was trained on, by its {ADAPTER} {base or 'unknown'}."
    )


def _stored(where: Path) -> Shapes:
    """The tensors of a folder's weights. Raises ValueError where a file is missing or damaged, or
    where engines would read different files."""
    files = _files(where)
    others = {f for f in where.glob("*.safetensors") if not f.name.startswith("consolidated")}
    if (where / sources.INDEX).exists() and files[0].name == sources.WEIGHTS:
        raise ValueError(
            f"student: {paths.movable(where)} has both {sources.WEIGHTS} and {sources.INDEX}, and "
            "engines would read different ones; remove what is not the student's."
        )
    if not (where / sources.INDEX).exists() and (extra := others - set(files)):
        raise ValueError(
            f"student: {paths.movable(where)} has {integrity.listed({f.name for f in extra})} "
            f"beside {files[0].name}, and engines would read different ones; move it elsewhere."
        )
    return _joined(files)


def _files(where: Path) -> list[Path]:
    """The files of a folder's weights, those that Transformers takes."""
    for whole, index in ((sources.WEIGHTS, sources.INDEX), (BIN, BIN_INDEX)):
        if (where / whole).exists():
            return [where / whole]
        if (where / index).exists():
            return sorted({where / name for name in _weight_map(where / index).values()})
    shards = [f.name for f in where.glob("*.safetensors")]
    lacking = f"its shards' {sources.INDEX}" if shards else f"weights: {sources.WEIGHTS}"
    raise ValueError(
        f"student: {paths.movable(where)} lacks {lacking}; copy it from where the folder came from."
    )


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor → file of an index of weights."""
    found = integrity.mapping("student", index).get("weight_map")
    if not isinstance(found, dict) or not found or {type(v) for v in found.values()} != {str}:
        raise ValueError(
            f"student: {paths.movable(index)} has no weight_map of tensors and files; copy it "
            "again from where the folder came from."
        )
    return found


def _joined(files: list[Path]) -> Shapes:
    """The tensors of several files, as their index has them."""
    found: Shapes = {}
    held = {file: integrity.shapes("student", file) for file in files}
    for file, entries in held.items():
        if twice := found.keys() & entries.keys():
            raise ValueError(
                f"student: {paths.movable(file)} has {integrity.listed(twice)}, and so has another "
                "file of the same weights; copy all of them again from where the folder came from."
            )
        found |= entries
    index = files[0].with_name(sources.INDEX if files[0].suffix == ".safetensors" else BIN_INDEX)
    if len(files) > 1 and index.exists():
        for name, file in _weight_map(index).items():
            if name not in held.get(files[0].with_name(file), {}):
                raise ValueError(
                    f"student: {paths.movable(index.with_name(file))} lacks {name}, which "
                    f"{index.name} says is there; copy both again from where the folder came from."
                )
    return found


def _refuse_other_tensors(p: Params, config: PretrainedConfig, found: Shapes) -> None:
    """Raises ValueError where the weights are not those of the config's model."""
    import transformers

    if quantised := getattr(config, "quantization_config", None):
        # its tensors have names and shapes of its method: student.load looks at them
        _refuse_unknown_method(p, quantised)
        return
    _refuse_lost_experts(p, found)
    kind = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    try:
        with _quietly():
            _, report = kind.from_pretrained(
                None,
                config=config,
                state_dict=integrity.on_meta(found),
                device_map={"": "meta"},
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported instead
            )
    except Exception as error:  # a model that cannot be built fails in many ways
        raise ValueError(
            f"student: Transformers cannot build {p.student} from its config.json and load its "
            f"weights ({integrity.first_line(error)}); copy both again from where they came from."
        ) from None
    integrity.refuse_partial_student(p, report)


def _refuse_unknown_method(p: Params, quantised: dict) -> None:
    from transformers.quantizers.auto import AutoQuantizationConfig

    try:
        AutoQuantizationConfig.from_dict(quantised)
    except Exception as error:  # of values that are no settings
        raise ValueError(
            f"student: quantization_config in config.json of {p.student} is none that Transformers "
            f"reads ({integrity.first_line(error)}); correct it, or name another student."
        ) from None


def _refuse_lost_experts(p: Params, found: Shapes) -> None:
    """Raises ValueError where a layer lacks one expert's tensor: the others would move up."""
    held: dict[str, dict[str, dict[int, tuple[int, ...]]]] = defaultdict(lambda: defaultdict(dict))
    for name, shape in found.items():
        if match := EXPERT.fullmatch(name):
            held[match[1]][match[3]][int(match[2])] = shape
    for experts, parts in held.items():
        count = 1 + max(max(shapes) for shapes in parts.values())
        for part, shapes in parts.items():
            if lost := [f"{experts}.{n}.{part}" for n in range(count) if n not in shapes]:
                integrity.refuse_partial_student(p, {"missing_keys": set(lost)})
            if others := [n for n in shapes if shapes[n] != shapes[0]]:
                name = f"{experts}.{others[0]}.{part}"
                report = {"mismatched_keys": {(name, shapes[others[0]], shapes[0])}}
                integrity.refuse_partial_student(p, report)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without Transformers' table of what is missing, and its bar."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
