"""Adapters on disk: which ones a run's folder holds, whether any were lost, and those trained
elsewhere."""

from __future__ import annotations

from pathlib import Path

from distill_nb.runtime import hub, paths, provenance
from distill_nb.students import proof


def sha256_of_adapter(folder: Path) -> str:
    """64 hex digits of an adapter's weights."""
    return provenance.sha256_of_file(next(folder.glob("adapter_model.*")))


def adapter_folder(adapter: str) -> Path:
    """The folder of an adapter in PEFT's layout: a local one, or a hub id's (org/name or
    org/name@revision), downloaded.

    Raises ValueError where there is no such adapter or the hub does not give it."""
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
        # a hub that hangs would be waited for below
        hub.reach(name, "adapter_config.json", revision or None, "model")
        return Path(
            snapshot_download(
                name, revision=revision or None, allow_patterns=["adapter_*", proof.FILE]
            )
        )
    except Exception as error:  # the many ways in which a download fails
        raise ValueError(
            f"adapter: {adapter} is no folder here, and on the hub it "
            f"{hub.why(error, revision=revision)}, or "
            "correct the name, or download it and name its folder."
        ) from None


def adapter_files(run_dir: Path) -> dict[int, Path]:
    """Step → the weights of every adapter that a run's folder has whole, ascending."""
    return {
        int(f.parent.name.removeprefix("step_")): f
        for f in sorted(run_dir.glob("checkpoints/step_*/adapter_model.*"))
        if f.parent.suffix != ".partial"
    }


def adapters_on_disk(run_dir: Path) -> dict[str, str]:
    """Step → sha256 of the weights of those adapters, as provenance_train.json has them."""
    return {str(step): provenance.sha256_of_file(f) for step, f in adapter_files(run_dir).items()}


def refuse_lost_adapters(run_dir: Path, trained: dict, adapters: dict[str, str]) -> None:
    """Raises ValueError if an adapter that a finished training wrote is not among `adapters` (step
    → sha256), or is another.

    trained: the training's provenance."""
    recorded = trained.get("adapters_sha256", {})
    wrong = {
        "is not on disk": [step for step in recorded if step not in adapters],
        "is not the one that its training wrote": [
            step for step, sha256 in recorded.items() if adapters.get(step, sha256) != sha256
        ],
    }
    if said := [
        f"the adapter of step {', '.join(steps)} of {run_dir.name} {what}"
        for what, steps in wrong.items()
        if steps
    ]:
        raise ValueError(
            f"run_name: {' and '.join(said)}; put a copy back, or train it again with overwrite: "
            "true."
        )
