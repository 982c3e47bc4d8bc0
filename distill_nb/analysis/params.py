"""The parameters of analyze.ipynb and published.ipynb, read as strictly as a run's."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

from distill_nb.params import checks, papermill_call, reading
from distill_nb.params.checks import key
from distill_nb.runtime import log

Kind = TypeVar("Kind", "AnalysisParams", "PublishedParams")


@dataclass(frozen=True)
class AnalysisParams:
    """One analysis of our runs. Made by `from_notebook`."""

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


@dataclass(frozen=True)
class PublishedParams:
    """One analysis of the published study. Made by `published_from_notebook`."""

    margin: float = key(
        "points; a smaller change does not matter, to findings that nothing is lost or gained",
        above=0,
        below=100,
    )


def from_notebook(namespace: dict) -> AnalysisParams:
    """The AnalysisParams of a notebook, from its globals(); as params.from_notebook."""
    return _from_notebook(namespace, AnalysisParams)


def published_from_notebook(namespace: dict) -> PublishedParams:
    """The PublishedParams of a notebook, likewise."""
    return _from_notebook(namespace, PublishedParams)


def _from_notebook(namespace: dict, kind: type[Kind]) -> Kind:
    log.show()
    papermill_call.refuse_ambiguous()
    values = reading.given(namespace, {f.name for f in fields(kind)})
    return kind(**checks.checked(values, "notebook", kind, lambda _: iter(())))
