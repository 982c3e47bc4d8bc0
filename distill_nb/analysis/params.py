"""The parameters of an analysis, read as strictly as a run's."""

from __future__ import annotations

from dataclasses import dataclass, fields

from distill_nb.params import checks, papermill_call, reading
from distill_nb.params.checks import key
from distill_nb.runtime import log


@dataclass(frozen=True)
class AnalysisParams:
    """One analysis. Made by `validate` or `from_notebook`."""

    scale: str = key("which of our runs to read", choices=("full", "pocket", "tiny"))
    select_on: str = key(
        "what chooses a run's best checkpoint: all problems of the benchmark that chooses, as in "
        "the study, or a fixed half of them, scored on the other",
        choices=("test", "dev"),
    )
    margin: float = key(
        "points; a smaller change does not matter, so one within it either way is `equivalent`",
        above=0,
        below=100,
    )


def validate(values: dict, source: str = "parameters") -> AnalysisParams:
    """An AnalysisParams from a complete mapping; ValueError as of params.validate."""
    return AnalysisParams(**checks.checked(values, source, AnalysisParams, lambda _: iter(())))


def from_notebook(namespace: dict) -> AnalysisParams:
    """The AnalysisParams of a notebook, from its globals(); as params.from_notebook."""
    log.show()
    papermill_call.refuse_ambiguous()
    values = reading.given(namespace, {f.name for f in fields(AnalysisParams)})
    return validate(values, source="notebook")
