"""Licences of base models, data and teachers' outputs: what is on record, and what only the
publisher can answer. Nothing is guessed: what is not on record is asked for by an option."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

from distill_nb.params import yaml_text
from distill_nb.runtime import paths
from distill_nb.students import sources

# https://huggingface.co/docs/hub/repositories-licenses, of 2026-08. `unknown` is no answer.
IDS = """afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
    bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
    bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
    cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0
    cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
    creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
    fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research
    intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3
    llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openmdw-1.1 openrail
    openrail++ osl-3.0 other pddl postgresql unlicense wtfpl zlib"""
HUB_LICENCES = frozenset(IDS.split())
# What the hub's pages of the study's students and data say.
KNOWN = {
    "meta-llama/Llama-3.1-8B-Instruct": "llama3.1",
    "Qwen/Qwen3-30B-A3B-Base": "apache-2.0",
    "Qwen/Qwen3-30B-A3B-Instruct-2507": "apache-2.0",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "apache-2.0",
    "open-r1/OpenR1-Math-220k": "apache-2.0",
    "nvidia/OpenCodeReasoning": "cc-by-4.0",
}
GENERATED = "generated here: the publisher's own"
ADDRESS = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")  # organisation/name
# The community licences of Llama ask this of whoever passes on what was made with it.
LLAMA = re.compile(r"llama(3\.[123]|4)")
LLAMA_NOTICE = (
    "Llama {version} is licensed under the Llama {version} Community License, Copyright © Meta "
    "Platforms, Inc. All Rights Reserved.\n"
)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the publisher says; "" is no answer. Licences are the hub's ids."""

    licence: str = ""  # of what is published
    licence_name: str = ""  # where it is `other`
    licence_link: str = ""  # where it is `other`
    licence_file: Path | None = None  # its text, published as LICENSE
    base_model: str = ""  # its id on the hub, where the student is a folder
    base_licence: str = ""
    data_licence: str = ""
    teacher_terms_checked: bool = False

    def __post_init__(self) -> None:
        for key in (f.name for f in fields(self) if f.name in OPTIONS):
            given = getattr(self, key)
            if given and given not in HUB_LICENCES:
                near = sorted(h for h in HUB_LICENCES if h.startswith(given.lower()[:3]))
                remedy = f"write {' or '.join(near[:4])}, or other" if near else "write its id"
                raise ValueError(
                    f"{OPTIONS[key]}: the hub knows no licence {given!r}; {remedy} (its ids: "
                    "https://huggingface.co/docs/hub/repositories-licenses)."
                )
        if self.licence == "other" and not (self.licence_name and self.licence_link):
            raise ValueError(
                "--licence: other needs --licence-name and --licence-link, the address of its text "
                "or LICENSE."
            )
        if self.base_model and not ADDRESS.fullmatch(self.base_model):
            raise ValueError(
                f"--base-model: {self.base_model!r} is no id of the hub; write organisation/name."
            )
        if self.licence_file and not self.licence_file.is_file():
            raise ValueError(f"--licence-file: there is no file {self.licence_file}.")


OPTIONS = {
    "licence": "--licence",
    "base_licence": "--base-licence",
    "data_licence": "--data-licence",
}


@dataclass(frozen=True)
class Named:
    """A base model or data, and its licence; "" where that is not known. why: whence it is."""

    name: str
    licence: str
    why: str


def is_folder(parameters: dict) -> bool:
    """Whether a run's student is a folder of this machine, of which the hub knows nothing."""
    student = str(parameters["student"])
    if parameters.get("student_size") == "tiny" or student in sources.HUB_NAMES:
        return False
    return paths.resolve(student).is_dir() or not ADDRESS.fullmatch(student)


def of_base(parameters: dict, answers: Answers) -> Named:
    """The base model of a run, by the parameters of its provenance."""
    student = str(parameters["student"])
    if parameters.get("student_size") == "tiny":
        return Named("random weights made by distill_nb", "none", "nobody else made them")
    hub_id = answers.base_model or sources.HUB_NAMES.get(student, student)
    name = Path(hub_id).name if is_folder({"student": hub_id}) else hub_id
    return _named(name, answers.base_licence, "--base-licence", _of_card(student))


def of_data(dataset: str, hub_id: str, answered: str) -> Named:
    """A set or file of traces; hub_id: the data set on the hub that it was made of, or ""."""
    return _named(hub_id or dataset, answered, "--data-licence", "")


def of_generated(what: str, answers: Answers) -> Named:
    """Traces or problems that were generated here, so that the publisher's licence is theirs."""
    return Named(what, answers.data_licence or answers.licence, GENERATED)


def _named(name: str, answered: str, option: str, found: str) -> Named:
    if answered:
        return Named(name, answered, f"as the publisher says ({option})")
    if found:
        return Named(name, found, "as its own card says")
    if name in KNOWN:
        return Named(name, KNOWN[name], "as its page on the hub says")
    return Named(name, "", "not on record")


def _of_card(student: str) -> str:
    """The licence that the card of a student's folder, or of the hub's cache, names; "" without."""
    from huggingface_hub import try_to_load_from_cache

    file = paths.resolve(student) / "README.md"
    try:
        if not file.is_file():
            cached = try_to_load_from_cache(student, "README.md")
            if not isinstance(cached, str):
                return ""
            file = Path(cached)
        front = file.read_text(encoding="utf-8").split("---\n")[1]
        said = yaml_text.read(front, "README.md")
    except (OSError, ValueError, IndexError):  # no hub id, or no card of that form
        return ""
    found = said.get("license", "") if isinstance(said, dict) else ""
    return found if found in HUB_LICENCES else ""


def metadata(answers: Answers) -> dict[str, object]:
    """What a card's metadata says of the licence."""
    made: dict[str, object] = {"license": answers.licence} if answers.licence else {}
    if answers.licence == "other":
        made |= {"license_name": answers.licence_name, "license_link": answers.licence_link}
    return made


def names_llama(licence: str) -> str:
    """The version of a Llama community licence: 3.1 of llama3.1; "" of any other licence."""
    return licence.removeprefix("llama") if LLAMA.fullmatch(licence) else ""


def open_questions(answers: Answers, named: list[tuple[str, Named]], teacher: str) -> list[str]:
    """What the publisher has still to answer, one sentence each. named: (option, what it is of);
    teacher: whose outputs the data are, "" where nobody's."""
    found = []
    if not answers.licence:
        found.append("--licence ID: under which licence do you publish this?")
    for option, what in named:
        if not what.licence and what.why != GENERATED:
            found.append(
                f"{option} ID: nothing here says which licence {what.name} has: what does its "
                "source say?"
            )
    if teacher and not answers.teacher_terms_checked:
        found.append(
            f"--teacher-terms-checked: did you read the licence and terms of {teacher}, and do "
            "they allow its outputs to be used and published so?"
        )
    return found
