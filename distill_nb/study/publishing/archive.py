"""A study as an RO-Crate: a folder or zip whose ro-crate-metadata.json says, in JSON-LD, what each
file is, what made it, from what, and under which licence.

RO-Crate 1.1 (https://w3id.org/ro/crate/1.1) with the Process Run Crate profile 0.5
(https://w3id.org/ro/wfrun/process/0.5), by the package rocrate: each training, evaluation, set and
analysis is a CreateAction of the code that ran. Snakemake's report plugin for RO-Crates knows only
what Snakemake itself started; a study also has runs from notebooks and the command line, and what
made each file stands in its provenance already."""

from __future__ import annotations

import io
import logging
import os
import secrets
import shutil
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill_nb.params import yaml_text
from distill_nb.runtime import disk, files, paths, provenance
from distill_nb.study.publishing import study_files
from distill_nb.study.publishing.archive_licences import Licensed
from distill_nb.study.publishing.study_files import StudyFile

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

log = logging.getLogger(__name__)

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
SHA256 = "https://w3id.org/ro/terms/workflow-run#sha256"  # RO-Crate 1.1 has no term of its own
DONE, FAILED = (f"http://schema.org/{name}ActionStatus" for name in ("Completed", "Failed"))
STAGES = {  # of provenance_<stage>.json
    "train": "Training",
    "eval": "Evaluation",
    "analyze": "Analysis",
    "import": "Import of answers made elsewhere",
    "traces": "Set of traces",
}


def write(
    study: Path,
    to: Path,
    licensed: Licensed,
    authors: Iterable[str] = (),
    *,
    weights: bool = True,
    traces: bool = True,
    study_file: Path | None = None,
) -> int:
    """Write the archive of a study's folder: a zip where `to` ends so, else a folder. It is there
    when all is written. study_file: goes along as study.yaml. Returns the number of files.

    Raises ValueError where rocrate is missing, `to` is there already, or there is no run."""
    if find_spec("rocrate") is None:
        raise ValueError("An archive needs the package rocrate: pip install rocrate==0.16.0.")
    if to.exists():
        raise ValueError(f"--to: {paths.movable(to)} is there already; delete it, or name another.")
    found = list(study_files.listed(study, weights, traces))
    if not any(study_files.stage_of(file.path) in ("train", "eval") for file in found):
        raise ValueError(f"{paths.movable(study)}: there is no run in it to archive.")
    if study_file:
        found.append(StudyFile("study.yaml", study_file))
    crate = _crate(study, licensed, authors)
    made = {file.path: _add(crate, file) for file in found}
    licensed.add(crate)
    for file in found:
        if study_files.stage_of(file.path):
            record = provenance.read(file.source, "leave its folder out")
            if record.get("parameters"):
                _add_action(crate, file, record, made, licensed)
    with disk.room(to.parent if to.parent.is_dir() else paths.ROOT):
        if to.suffix == ".zip":
            with files.replacing(to) as beside:
                crate.write_zip(beside)
        else:
            _write_folder(crate, to)
    return len(found)


def _write_folder(crate: ROCrate, to: Path) -> None:
    beside = to.with_name(f".{to.name}.{secrets.token_hex(4)}{files.BESIDE}")
    try:
        crate.write(beside)
        os.replace(beside, to)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _crate(study: Path, licensed: Licensed, authors: Iterable[str]) -> ROCrate:
    """A crate with its root, which names the licence, the authors and the profile."""
    from rocrate.model.contextentity import ContextEntity
    from rocrate.model.person import Person
    from rocrate.rocrate import ROCrate

    crate = ROCrate(gen_preview=True, version="1.1")
    crate.metadata.extra_terms["sha256"] = SHA256
    crate.name = f"The study {study.name}: distillation of reasoning traces into small models"
    crate.description = (
        "Runs that train a student on a teacher's reasoning traces with LoRA: parameters, "
        "provenance, adapters, every answer of every checkpoint to each benchmark, and the report. "
        "Made with distill_nb."
    )
    crate.license = crate.add(licensed.root(crate))
    people = []
    for author in authors:
        name, _, orcid = author.partition("https://orcid.org/")
        identifier = f"https://orcid.org/{orcid.strip()}" if orcid else f"#{_slug(name)}"
        people.append(crate.add(Person(crate, identifier, {"name": name.strip(" ,<")})))
    if people:  # the profile wants a single one as it is, not in a list
        crate.root_dataset["author"] = people if len(people) > 1 else people[0]
    profile = {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    crate.root_dataset["conformsTo"] = crate.add(ContextEntity(crate, PROFILE, profile))
    return crate


def _add(crate: ROCrate, file: StudyFile) -> Any:
    """A file of the study as an entity."""
    about = {
        "name": file.source.name,
        "contentSize": str(file.source.stat().st_size),
        "encodingFormat": file.media_type,
        "sha256": provenance.sha256_of_file(file.source),
    }
    about |= {"description": file.kind} if file.kind else {}
    return crate.add_file(file.source, file.path, properties=about)


def _add_action(
    crate: ROCrate, file: StudyFile, record: dict, made: dict[str, Any], licensed: Licensed
) -> None:
    """What a provenance says, as a CreateAction: by which code, from what, to what, when."""
    folder = file.path.rpartition("/")[0]
    stage = study_files.stage_of(file.path)
    given = _add_parameters(crate, folder, stage, record["parameters"])
    inputs, outputs = [given], []
    for path, entity in made.items():
        if path.startswith(f"{folder}/") and _is_output(path.removeprefix(f"{folder}/"), stage):
            outputs.append(entity)
    inputs += _inputs(folder, stage, record, made)
    inputs += licensed.used_by(crate, stage, record)
    finished = stage != "eval" or bool(record.get("finished"))
    finished = finished and bool(record.get("finished_at"))
    about = {
        "name": f"{STAGES[stage]}: {folder}",
        "actionStatus": DONE if finished else FAILED,
        "description": f"What made {file.path}, by what it says.",
    }
    about |= {} if finished else {"error": "It was not finished when it was archived."}
    times = {"startTime": record.get("started_at"), "endTime": record.get("finished_at")}
    about |= {key: value for key, value in times.items() if value}
    if agents := crate.root_dataset.get("author"):
        about["agent"] = agents
    action = crate.add_action(
        _software(crate, record),
        identifier=f"#{_slug(folder)}-{stage}",
        object=inputs,
        result=outputs,
        properties={"@type": "CreateAction", **about},
    )
    crate.root_dataset.append_to("mentions", action)


def _is_output(path: str, stage: str) -> bool:
    """Whether a file of a run's folder is what a stage of it made."""
    if stage == "train":
        return path.startswith(("checkpoints/", "metrics.jsonl", "train.", "provenance_train"))
    if stage == "eval":
        return path.startswith(("eval/", "eval.", "answers", "provenance_eval"))
    return True


def _inputs(folder: str, stage: str, record: dict, made: dict[str, Any]) -> list:
    """The files of the study that a stage read."""
    if stage == "eval":
        begins: tuple[str, ...] = (f"{folder}/checkpoints/",)
    elif stage == "train":
        begins = (f"traces/{record['parameters'].get('dataset')}/train.parquet",)
    elif stage == "analyze":
        begins = tuple(f"{run}/eval/" for run in record.get("runs", []))
    else:
        begins = ()
    return [entity for path, entity in made.items() if begins and path.startswith(begins)]


def _add_parameters(crate: ROCrate, folder: str, stage: str, parameters: dict) -> Any:
    """The parameters as a file that distill-nb takes."""
    text = yaml_text.dump(parameters, flow=False) + "\n"
    path = f"{folder}/parameters_{stage}.yaml"
    about = {
        "name": Path(path).name,
        "description": f"the parameters of {folder}"
        + ("" if stage == "analyze" else ", as a file that distill-nb takes"),
        "contentSize": str(len(text.encode())),
        "encodingFormat": "application/yaml",
        "sha256": provenance.sha256_of_bytes(text.encode()),
    }
    return crate.add_file(io.BytesIO(text.encode()), path, properties=about)


def _software(crate: ROCrate, record: dict) -> Any:
    """The code that ran, at its commit, with the packages that it ran on."""
    from rocrate.model.contextentity import ContextEntity

    git = record.get("git") or {}
    commit = git.get("commit") or "of an unknown commit"
    state = ", with changes" if git.get("dirty") else ""
    packages = record.get("packages", {})
    key = provenance.sha256_of_json([commit, state, packages])[:12]
    identifier = f"#distill_nb-{key}"
    if (known := crate.get(identifier)) is not None:
        return known
    needs = []
    for name, version in sorted(packages.items()):
        about = {"@type": "SoftwareApplication", "name": name, "softwareVersion": version,
                 "url": f"https://pypi.org/project/{name}/"}  # fmt: skip
        address = f"https://pypi.org/project/{name}/{version}/"
        needs.append(crate.get(address) or crate.add(ContextEntity(crate, address, about)))
    about = {
        "@type": "SoftwareApplication",
        "name": "distill_nb",
        "softwareVersion": f"{metadata.version('distill_nb')}, commit {commit}{state}",
        "softwareRequirements": needs,
    }
    return crate.add(ContextEntity(crate, identifier, about))


def _slug(text: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in text).split()) or "study"
