"""What a run is: one flat set of parameters, read strictly, and what the names in it may be.

names.py           the names that parameters may take
yaml_text.py       YAML by one set of rules, and what Papermill's would take differently
reading.py         what parameters a notebook's namespace or parameter files give
papermill_call.py  the parameter files of the Papermill that executes a notebook
own_benchmarks.py  checks of benchmarks, those of one's own among them
own_benchmarks.py  checks of benchmarks, those of one's own among them
checks.py          checks of one value, and of values that contradict each other
run.py             the parameters of a run
"""

from distill_nb.params.names import (
    BENCHMARKS,
    CHAT_TEMPLATES,
    GENERATOR,
    POCKET_STUDENT,
    STUDY,
    TEACHER,
    benchmark_name,
)
from distill_nb.params.reading import read_files
from distill_nb.params.run import (
    GENERATION_KEYS,
    Params,
    complete,
    from_notebook,
    hash_of,
    help_text,
    is_baseline,
    pocket,
    pocket_values,
    steps,
    traces_of,
    validate,
)

__all__ = [
    "BENCHMARKS", "CHAT_TEMPLATES", "GENERATION_KEYS", "GENERATOR", "POCKET_STUDENT", "STUDY",
    "TEACHER", "Params", "benchmark_name", "complete", "from_notebook", "hash_of", "help_text",
    "is_baseline", "pocket", "pocket_values", "read_files", "steps", "traces_of", "validate",
]  # fmt: skip
