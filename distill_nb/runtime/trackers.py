"""Trackers that show the curves of runs elsewhere, each through its own package: TensorBoard,
Weights & Biases, MLflow and Trackio. tracking.py decides what they are sent, and when.

Their callbacks in Transformers are not used: these begin a new run at each start, send what the
Trainer says and not what is on disk, and an error of theirs ends the training.

Settings are the packages' own environment variables (WANDB_PROJECT, WANDB_MODE,
MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, TRACKIO_DIR, TRACKIO_SPACE_ID, …)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from distill_nb.runtime import paths

PROJECT = "distill_nb"  # of Weights & Biases, MLflow (its experiment) and Trackio
MODULES = {  # that are imported to open one
    "tensorboard": "torch.utils.tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
}


@dataclass(frozen=True)
class Place:
    """Where a run's curves go. One of training and one of evaluation are two runs of a tracker."""

    run_dir: Path
    kind: str  # train | eval
    parameters: dict[str, Any]
    run_id: str = ""  # of the tracker's run; "" where it has none yet

    @property
    def name(self) -> str:
        """What the tracker shows: <run> or <run> eval."""
        return self.run_dir.name + (" eval" if self.kind == "eval" else "")

    @property
    def new_id(self) -> str:
        """An id that no other run has."""
        return f"{self.run_dir.parent.name}-{self.run_dir.name}-{self.kind}-{os.urandom(4).hex()}"


class Tracker(Protocol):
    """One run of a tracker, open."""

    run_id: str
    where: str  # for people: a folder or an address

    def log(self, number: int, step: int, values: dict[str, float]) -> None:
        """Send a line. number: grows with each line; step: of training, which a curve is over."""

    def sent(self) -> int | None:
        """The number of the last line that the tracker has; None where it does not tell."""
        ...

    def finish(self) -> None:
        """Send what is left, and close."""


class TensorBoard:
    """Event files below the run's folder: tensorboard/train and tensorboard/eval."""

    def __init__(self, place: Place) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = place.run_dir / "tensorboard" / place.kind
        self.run_id, self.where = place.kind, paths.movable(self.folder)
        self.before = self._events()
        self.writer = SummaryWriter(str(self.folder))
        if not self.before:
            text = "\n".join(f"    {key}: {value}" for key, value in place.parameters.items())
            self.writer.add_text("parameters", text)

    def _events(self) -> dict[str, list[int]]:
        """tag → the steps of its events on disk."""
        from tensorboard.backend.event_processing import event_accumulator

        if not any(self.folder.glob("events.*")):
            return {}
        guidance = {event_accumulator.SCALARS: 0}  # all of them
        found = event_accumulator.EventAccumulator(str(self.folder), guidance).Reload()
        return {t: [e.step for e in found.Scalars(t)] for t in found.Tags()["scalars"]}

    def log(self, number: int, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def sent(self) -> int | None:
        return _last_line(self.before)

    def finish(self) -> None:
        self.writer.close()


class Wandb:
    """Weights & Biases; what is offline (WANDB_MODE) is in wandb/ in the run's folder."""

    def __init__(self, place: Place) -> None:
        import wandb

        # init would ask for a key, where nobody answers
        if wandb.setup().settings.mode == "online" and not wandb.login(prompt=False):
            raise RuntimeError("it has no API key: wandb login, or set WANDB_MODE=offline")
        self.run_id = place.run_id or place.new_id
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=self.run_id,
            name=place.name,
            group=place.run_dir.name,
            job_type=place.kind,
            config=place.parameters,
            dir=str(place.run_dir),
            resume="allow",
            settings=wandb.Settings(console="off", reinit="create_new", save_code=False),
        )
        folder = paths.movable(place.run_dir / "wandb")
        self.where = folder if self.run.offline else self.run.url or folder
        self.run.define_metric("*", step_metric="step")

    def log(self, number: int, step: int, values: dict[str, float]) -> None:
        self.run.log({**values, "step": step}, step=number)

    def sent(self) -> int | None:
        return None  # its own process writes what it is given, also after a kill of this one

    def finish(self) -> None:
        self.run.finish()


class Mlflow:
    """MLflow, by MLFLOW_TRACKING_URI; without it in mlflow.db in the folder of all runs."""

    def __init__(self, place: Place) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self.metric = Metric
        given, here = os.environ.get("MLFLOW_TRACKING_URI"), paths.runs()
        self.where = given or f"sqlite:///{here / 'mlflow.db'}"
        self.client = MlflowClient(tracking_uri=self.where)
        self.run_id = place.run_id
        if self.run_id:
            self.client.update_run(self.run_id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            artifacts = None if given else (here / "mlruns").as_uri()
            made = self.client.create_experiment(name, artifact_location=artifacts)
        else:
            made = experiment.experiment_id
        self.run_id = self.client.create_run(made, run_name=place.name).info.run_id
        params = [Param(key, str(value)) for key, value in place.parameters.items()]
        self.client.log_batch(self.run_id, params=params)

    def log(self, number: int, step: int, values: dict[str, float]) -> None:
        now = int(1000 * time.time())
        metrics = [self.metric(name, value, now, step) for name, value in values.items()]
        self.client.log_batch(self.run_id, metrics=metrics)

    def sent(self) -> int | None:
        names = self.client.get_run(self.run_id).data.metrics
        history = {name: self.client.get_metric_history(self.run_id, name) for name in names}
        return _last_line({name: [m.step for m in found] for name, found in history.items()})

    def finish(self) -> None:
        self.client.set_terminated(self.run_id)


class Trackio:
    """Trackio: a local database (TRACKIO_DIR), or a Space (TRACKIO_SPACE_ID)."""

    def __init__(self, place: Place) -> None:
        import trackio

        self.run_id = place.run_id or place.new_id
        self.run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT") or PROJECT,
            name=self.run_id,
            group=place.run_dir.name,
            config=place.parameters,
            resume="allow",
            space_id=os.environ.get("TRACKIO_SPACE_ID"),
            embed=False,
        )
        self.local = "TRACKIO_SPACE_ID" not in os.environ
        self.where = f"run {self.run_id} (trackio show --project {self.run.project})"

    def log(self, number: int, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def sent(self) -> int | None:
        """It writes twice a second, in this process: a kill loses what was logged since."""
        from trackio.sqlite_storage import SQLiteStorage

        if not self.local:
            return None
        curves: dict[str, list[int]] = {}
        for line in SQLiteStorage.get_logs(self.run.project, self.run_id):
            for name in line:
                curves.setdefault(name, []).append(line["step"])
        return _last_line(curves)

    def finish(self) -> None:
        self.run.finish()


OPEN: dict[str, Callable[[Place], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "mlflow": Mlflow,
    "trackio": Trackio,
}


def _last_line(curves: dict[str, list[int]]) -> int:
    """The number of the last line that a tracker has. curves: its steps, by name. A line of
    training has a loss; one of evaluation is a point of one of the accuracies."""
    if "train/loss" in curves:
        return max(curves["train/loss"])
    return sum(len(steps) for name, steps in curves.items() if name.endswith("/accuracy"))
