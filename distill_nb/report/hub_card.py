"""The model card of a published checkpoint: the card that lies beside it (card.py), and what a
stranger asks of it: which revisions there are, licences, whether the adapter is applied."""

from __future__ import annotations

from dataclasses import dataclass

from pandas import DataFrame

from distill_nb.analysis import names, results
from distill_nb.report import card, markdown, markup


@dataclass(frozen=True)
class Licence:
    """A line of the card's licences. what: this adapter, base model, …; why: who says so."""

    what: str
    name: str
    licence: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Published:
    """What is the same in the cards of all revisions of a run. table: results.accuracy_of, without
    the scores that are not to be shown; chosen: of selection.sentences; proofs: step → of
    evaluation.proofs, as a dict; lacks: step → sentences on what is not finished; metadata: what
    the card's own is to have too, or, where None, not; steps: those that are published;
    teacher: whose terms were checked, or "" where nobody's outputs were used."""

    to: str
    table: DataFrame
    trained: dict
    evaluated: dict
    chosen: str
    proofs: dict[int, dict]
    lacks: dict[int, list[str]]
    metadata: dict
    licences: tuple[Licence, ...]
    steps: tuple[int, ...]
    main: int
    teacher: str
    built_with: str = ""


def write(about: Published, step: int, in_hub_format: bool = False) -> str:
    """The card of one checkpoint, Markdown with the hub's metadata. in_hub_format: whether scores
    of eval_results.py lie beside it."""
    own, text = markdown.parted(
        card.card(about.table, step, about.trained, about.evaluated, about.chosen)
    )
    metadata = own | about.metadata
    metadata = {key: value for key, value in metadata.items() if value is not None}
    if metadata.get("base_model"):
        metadata["base_model_relation"] = "adapter"
    if not metadata["model-index"][0]["results"]:
        del metadata["model-index"]
    more = markup.fill(
        "hub_card.md.j2",
        about=about,
        step=step,
        in_hub_format=in_hub_format,
        base=metadata.get("base_model", ""),
        proof=about.proofs.get(step),
        lacks=about.lacks.get(step, []),
        revisions=_revisions(about),
        licences=markdown.table(
            ["what", "name", "licence", "who says so"],
            [[one.what, one.name, one.licence, one.why] for one in about.licences],
        ),
    )
    head, found, rest = text.partition("\n## Results\n")
    warning, _, sections = more.partition("<!-- sections -->\n")
    return markdown.joined(metadata, head + warning.rstrip("\n") + found + rest + sections)


def _revisions(about: Published) -> str:
    """Revisions and their scores as a table."""
    benchmarks = sorted(set(about.table["benchmark"]))
    by_step = about.table.set_index(["step", "benchmark"])
    rows = []
    for step in (0, *about.steps):
        where = "the base student" if not step else f"`step_{step:05d}`"
        where += ", `main`" if step == about.main else ""
        cells = [where]
        for name in benchmarks:
            known = (step, name) in by_step.index
            cells.append(results.score(by_step.loc[(step, name)], 1) if known else "none")
        rows.append(cells)
    return markdown.table(["revision", *map(names.name_of, benchmarks)], rows)
