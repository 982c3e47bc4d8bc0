"""What is published of a run: one branch a checkpoint, and main.

Branches, not tags: each checkpoint has other files under the same names, so each is a line of its
own, which a regrade or a mended card may bring up to date; the hub's own studies of checkpoints
(Pythia, OLMo) have it so, too. main is the last checkpoint, which no score chose."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from distill_nb import params
from distill_nb.analysis import finished, names, pairing, results, selection
from distill_nb.params.names import is_set
from distill_nb.report import card, eval_results, hub_card
from distill_nb.runtime import paths, provenance
from distill_nb.students import adapters, check_adapter, proof, sources
from distill_nb.study.publishing import licences
from distill_nb.study.publishing.licences import Answers, Named
from distill_nb.study.publishing.publication import (
    File,
    Publication,
    Revision,
    address,
    check_address,
    machine_paths,
    revision,
)

LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md")


def publication(
    run: str, to: str, answers: Answers, main: int = 0, unfinished: bool = False
) -> Publication:
    """What `run` (a name or a folder) is on the hub as `to`, an organisation/name. main: the step
    that main is, 0 the last one; unfinished: also where the evaluation is not, which the card says.

    Raises ValueError where the run has nothing of its own to publish, an adapter is lost or
    another, the evaluation is not finished or an adapter not proved, or the name does not fit the
    base model's licence."""
    check_address(to)
    folder, at = pairing.place(run)
    if at is not None:
        raise ValueError(f"{run}: a run is published whole; leave out @ and the step.")
    trained, evaluated = _records(folder)
    found = adapters.adapter_files(folder)
    adapters.refuse_lost_adapters(folder, trained, adapters.adapters_on_disk(folder))
    steps = tuple(sorted(int(step) for step in trained["adapters_sha256"]))
    if main and main not in steps:
        raise ValueError(
            f"--main: {folder.name} has no checkpoint {main}; choose from "
            f"{', '.join(map(str, steps))}."
        )
    answered = results.load_records(folder.parent)
    answered = answered[answered["folder"] == folder.name] if len(answered) else answered
    proofs = {int(one["step"]): one for one in evaluated.get("adapter_proof", [])}
    lacks = _lacks(answered, evaluated, proofs, steps)
    if not unfinished and (said := [(s, text) for s, all_ in lacks.items() for text in all_]):
        step, first = said[0]
        more = f" (and {len(said) - 1} more like it)" if len(said) > 1 else ""
        raise ValueError(
            f"{folder.name}, step {step}: {first.removesuffix('.')}{more}; finish it with "
            "`distill-nb eval`, or publish it as it is with --unfinished, and its card says so."
        )
    base, data, teacher = _sources(trained["parameters"], answers)
    _check_llama(base, to)
    questions = licences.open_questions(
        answers, [("--base-licence", base), ("--data-licence", data)], teacher
    )
    if licences.is_folder(trained["parameters"]) and not answers.base_model:
        questions.insert(
            0, f"--base-model ID: which model of the hub is {base.name}, a folder of this machine?"
        )
    text, notice = _licence_text(trained["parameters"], base, answers)
    if licences.names_llama(base.licence) and not text:
        questions.append(
            f"--licence-file FILE: the licence of {base.name} asks that its text go along."
        )
    about = hub_card.Published(
        to=to,
        table=_shown(results.accuracy_of(answered), answered, proofs),
        trained=trained,
        evaluated=evaluated,
        chosen=selection.sentences(answered, trained["parameters"].get("select_on", "test"))
        if len(answered)
        else "There are no scores.",
        proofs=proofs,
        lacks=lacks,
        metadata=_metadata(answers, trained["parameters"]),
        licences=_licence_lines(to, base, data, answers),
        steps=steps,
        main=main or steps[-1],
        teacher=teacher,
        built_with="Built with Llama." if licences.names_llama(base.licence) else "",
    )
    identity = _identity(folder, trained)
    revisions: list[Revision] = []
    for step in (*steps, about.main):
        files = [*_files(about, folder, found[step], step), *text, *notice]
        name, why = paths.step_name(step), f"checkpoint {step} of {folder.name}"
        if len(revisions) == len(steps):
            name, why = "main", f"step {step} of {folder.name}"
        revisions.append(revision(name, files, why, identity))
    notes = [
        f"{where}, a path of this machine, is in the provenance"
        for where in dict.fromkeys(machine_paths([trained, evaluated]))
    ]
    return Publication("model", to, identity, tuple(revisions), "", questions, notes)


def _records(folder: Path) -> tuple[dict, dict]:
    """The provenance of training and of evaluation."""
    trained = provenance.read(folder / "provenance_train.json", "train it again")
    evaluated = provenance.read(folder / "provenance_eval.json", "evaluate it again")
    if not trained:
        raise ValueError(
            f"{folder.name}: nothing was trained here, so there is no checkpoint to publish."
        )
    if not trained.get("finished") or not trained.get("adapters_sha256"):
        raise ValueError(f"{folder.name}: its training is not finished; start it again first.")
    if not evaluated:
        raise ValueError(
            f"{folder.name}: it was not evaluated here; do so first with `distill-nb eval`."
        )
    return trained, evaluated


def _lacks(
    records: DataFrame, evaluated: dict, proofs: dict[int, dict], steps: tuple[int, ...]
) -> dict[int, list[str]]:
    """Step → what is not finished of it, in sentences; steps that lack nothing are left out."""
    progress = finished.progress(records).reset_index()
    if progress.empty:
        progress = DataFrame(columns=["benchmark", "step", "finished"])
    found: dict[int, list[str]] = {}
    for step in steps:
        own = progress[progress["step"] == step].set_index("benchmark")
        said = []
        judged = proofs.get(step)
        if judged is None:
            said.append("No engine proved that it applies this adapter.")
        elif not judged["passed"]:
            said.append(f"The adapter's proof failed: {judged['why']}.")
        else:
            for name in evaluated.get("benchmarks", {}):
                if name not in own.index:
                    said.append(f"{names.name_of(name)} was not answered.")
                elif not own.loc[name, "finished"]:
                    answered, of = (int(own.loc[name, key]) for key in ("answered", "of"))
                    said.append(f"{names.name_of(name)}: {answered} of {of} problems are answered.")
        if said:
            found[step] = said
    if not found and not evaluated.get("finished"):
        found = {step: ["The evaluation is not finished."] for step in steps}
    return found


def _shown(table: DataFrame, records: DataFrame, proofs: dict[int, dict]) -> DataFrame:
    """The scores that count: of finished evaluations of the base and of proved adapters."""
    if table.empty:
        return table
    done = finished.progress(records)["finished"]
    keys = pd.MultiIndex.from_frame(table[["folder", "benchmark", "step"]])
    proved = table["step"].map(lambda s: s == 0 or bool(proofs.get(s, {}).get("passed")))
    return table[done.reindex(keys, fill_value=False).to_numpy() & proved.to_numpy()]


def _sources(parameters: dict, answers: Answers) -> tuple[Named, Named, str]:
    """(base model, data, whose outputs the data are: "" for generated traces)."""
    base = licences.of_base(parameters, answers)
    dataset = str(parameters["dataset"])
    if is_generated(parameters):
        return base, licences.of_generated("traces generated by distill_nb", answers), ""
    name = dataset if is_set(dataset) else Path(dataset).name
    data = licences.of_data(name, card.HUB_DATASETS.get(dataset, ""), answers.data_licence)
    teacher = str(parameters["teacher"])
    return base, data, card.TEACHERS.get(teacher, f"the teacher {teacher}")


def is_generated(parameters: dict) -> bool:
    """Whether a run learnt from generated traces; at tiny scale all sets are, whatever their
    names."""
    keys = ("teacher", "dataset", "scale")
    whose = params.traces_of(*(str(parameters[key]) for key in keys))
    return whose.startswith(params.GENERATOR)


def _check_llama(base: Named, to: str) -> None:
    name = to.partition("/")[2]
    if licences.names_llama(base.licence) and not name.startswith("Llama"):
        raise ValueError(
            f"--to: {name} is made with {base.name}, whose licence ({base.licence}) asks that its "
            f"name begin with Llama; write {to.partition('/')[0]}/Llama-{name}."
        )


def _licence_text(
    parameters: dict, base: Named, answers: Answers
) -> tuple[tuple[File, ...], tuple[File, ...]]:
    """(LICENSE, NOTICE), each as a file or nothing: the publisher's file, else for a Llama the text
    beside the base model's weights."""
    version = licences.names_llama(base.licence)
    notice = licences.LLAMA_NOTICE.format(version=version).encode()
    notices = (File("NOTICE", notice),) if version else ()
    if answers.licence_file:
        return (File("LICENSE", answers.licence_file),), notices
    beside = _beside_base(str(parameters["student"])) if version else None
    return ((File("LICENSE", beside),) if beside else ()), notices


def _beside_base(student: str) -> Path | None:
    """The licence's text in a student's folder, or in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    folder = paths.resolve(student)
    for name in LICENCE_FILES:
        if folder.is_dir():
            if (folder / name).is_file():
                return folder / name
            continue
        cached = try_to_load_from_cache(sources.HUB_NAMES.get(student, student), name)
        if isinstance(cached, str):
            return Path(cached)
    return None


def _metadata(answers: Answers, parameters: dict) -> dict:
    """What goes in front of the card's own metadata, and in place of it: a folder's name is none of
    the hub's, and a tiny student is on no hub."""
    made: dict[str, object] = licences.metadata(answers)
    if parameters.get("student_size") == "tiny":
        return made | {"base_model": None}
    if licences.is_folder(parameters):
        return made | {"base_model": answers.base_model or None}
    return made


def _licence_lines(
    to: str, base: Named, data: Named, answers: Answers
) -> tuple[hub_card.Licence, ...]:
    def line(what: str, one: Named) -> hub_card.Licence:
        return hub_card.Licence(what, one.name, one.licence or "not answered", one.why)

    own = answers.licence_name or answers.licence or "not answered"
    return (
        hub_card.Licence("this adapter", to, own, "the publisher"),
        line("base model", base),
        line("traces", data),
    )


def _identity(folder: Path, trained: dict) -> dict:
    """What tells a run from another: its name, its data, and how it was trained."""
    parameters = trained["parameters"]
    keys = (*card.HYPERPARAMETERS, "student", "student_size", "teacher", "domain", "max_steps")
    settings = {key: parameters.get(key) for key in keys}
    return {
        "run": f"{parameters['scale']}/{folder.name}",
        "data_sha256": trained.get("data_sha256"),
        "training_sha256": provenance.sha256_of_json(settings),
    }


def _files(about: hub_card.Published, folder: Path, weights: Path, step: int) -> list[File]:
    """The files of one checkpoint, but for the licence's text."""
    checkpoint = weights.parent
    judged = json.dumps(about.proofs.get(step), indent=2) + "\n"
    url = address("model", about.to, paths.step_name(step)) + "/distill_nb"
    scores = about.table[about.table["step"] == step]
    in_hub_format = eval_results.files(scores, about.evaluated, url)
    made = {
        "README.md": hub_card.write(about, step, bool(in_hub_format)).encode(),
        "adapter_config.json": _config(checkpoint, about.metadata.get("base_model")),
        weights.name: weights,
        "distill_nb/adapter_proof.json": judged.encode(),
        "distill_nb/provenance_train.json": folder / "provenance_train.json",
        "distill_nb/provenance_eval.json": folder / "provenance_eval.json",
    }
    if (checkpoint / proof.FILE).is_file():
        made[proof.FILE] = checkpoint / proof.FILE
    for path, text in in_hub_format.items():
        made[path] = text.encode()
    return [File(path, content) for path, content in made.items()]


def _config(checkpoint: Path, base_model: str | None) -> Path | bytes:
    """An adapter's config, with the base model's name on the hub where the publisher gave it.
    Raises ValueError where it is not there or damaged."""
    config = check_adapter.config_of(checkpoint)
    if not base_model:
        return checkpoint / "adapter_config.json"
    config |= {"base_model_name_or_path": base_model}
    return (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()
