"""Adapters on disk: a run's, whether any were lost, and those trained elsewhere."""

from pathlib import Path

from distill_nb.runtime import hub, paths, provenance
from distill_nb.students import check_adapter, proof


def sha256_of_adapter(folder: Path) -> str:
    """64 hex digits of an adapter's weights. Raises ValueError where it has none."""
    return provenance.sha256_of_file(check_adapter.weights_of(folder))


def adapter_folder(adapter: str) -> Path:
    """The folder of an adapter in PEFT's layout: a local one, or a hub id's (org/name or
    org/name@revision), downloaded. Raises ValueError where there is none."""
    folder = paths.resolve(adapter)
    if folder.is_dir():
        if not (folder / "adapter_config.json").exists():
            raise ValueError(
                f"adapter: the folder {adapter} has no adapter_config.json; name a folder in "
                "PEFT's layout."
            )
        return folder
    from huggingface_hub import snapshot_download

    name, _, revision = adapter.partition("@")
    try:
        # first, as the download would wait for a hub that hangs
        hub.reach(name, "adapter_config.json", revision or None, "model")
        wanted = ["adapter_*", proof.FILE]
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))
    except Exception as error:  # a download fails in many ways
        raise ValueError(
            f"adapter: {adapter} is no folder here, and on the hub it "
            f"{hub.why(error, revision=revision)}, or correct the name, or download it and name "
            "its folder."
        ) from None


def adapter_files(run_dir: Path) -> dict[int, Path]:
    """Step → the weights, for every complete adapter in a run's folder, ascending."""
    return {
        int(f.parent.name.removeprefix("step_")): f
        for f in sorted(run_dir.glob("checkpoints/step_*/adapter_model.*"))
        if f.parent.suffix != ".partial"
    }


def adapters_on_disk(run_dir: Path) -> dict[str, str]:
    """Step → sha256 of the weights, for those adapters, as in provenance_train.json."""
    return {str(step): provenance.sha256_of_file(f) for step, f in adapter_files(run_dir).items()}


def refuse_lost_adapters(run_dir: Path, trained: dict, adapters: dict[str, str]) -> None:
    """Raises ValueError if an adapter that a finished training wrote is not in `adapters` (step →
    sha256), or differs. trained: the training's provenance."""
    recorded = trained.get("adapters_sha256", {})
    lost = [step for step in recorded if step not in adapters]
    other = [step for step, sha256 in recorded.items() if adapters.get(step, sha256) != sha256]
    faults = {"is not on disk": lost, "is not the one that its training wrote": other}
    said = [
        f"the adapter of step {', '.join(steps)} of {run_dir.name} {fault}"
        for fault, steps in faults.items()
        if steps
    ]
    if said:
        raise ValueError(
            f"run_name: {' and '.join(said)}; put a copy back, or train it again with overwrite: "
            "true."
        )
