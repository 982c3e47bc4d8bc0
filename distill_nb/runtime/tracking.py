"""The progress of a run, mirrored to a tracker (trackers.py) from the lines that the run writes to
disk: metrics.jsonl of training, eval/accuracy.jsonl of evaluation.

    tracking.check(p.track)  # before any long work
    with tracking.mirrored(p.track, run_dir, "train", run_dir / "metrics.jsonl", asdict(p)):
        ...  # appends lines

A thread follows the file. What it has sent is noted in tracking_<kind>.json: an interrupted run
goes on in the same place, with the lines that had not been sent and none twice. A tracker that
fails, or hangs, costs a warning and no work."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import logging
import math
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill_nb.runtime import files, trackers

log = logging.getLogger(__name__)
EVERY = 1.0  # seconds between two looks at the file
AGAIN = 60.0  # seconds after which a tracker that failed is tried again
PATIENCE = 120.0  # seconds that it has at the end


def check(track: str) -> None:
    """Raises ValueError where the tracker's package is not installed."""
    if track != "none" and importlib.util.find_spec(track) is None:  # packages have their names
        raise ValueError(
            f"track: {track} is not installed; install it with `pip install {track}`, or set track "
            "to none."
        )


def forget(run_dir: Path, *kinds: str) -> None:
    """What a run is sent under begins anew: for `overwrite`."""
    for kind in kinds:
        _state_file(run_dir, kind).unlink(missing_ok=True)
        if (events := run_dir / "tensorboard" / kind).is_dir():
            shutil.rmtree(events)


@contextlib.contextmanager
def mirrored(
    track: str, run_dir: Path, kind: str, file: Path, parameters: dict[str, Any]
) -> Iterator[None]:
    """Send the lines of a file that are not sent yet, and those that are appended meanwhile.

    track: none, or a tracker; kind: train, whose lines have a `step`, or eval, whose lines also
    have a `benchmark`. Nothing is opened where nothing is to be sent."""
    if track == "none":
        yield
        return
    # here, as the work imports large libraries meanwhile; what fails now fails again in the thread
    with contextlib.suppress(Exception):
        importlib.import_module(trackers.MODULES[track])
    mirror = _Mirror(track, run_dir, kind, file, parameters)
    mirror.start()
    try:
        yield
    finally:
        mirror.end()


def _state_file(run_dir: Path, kind: str) -> Path:
    return run_dir / f"tracking_{kind}.json"


def _noted(file: Path) -> dict[str, dict]:
    """What is noted in a file of states; {} where it is lost, and all is sent anew."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(file.read_text(encoding="utf-8"))
    return {}


class _Mirror(threading.Thread):
    """Follows one file. Only this thread speaks to the tracker."""

    def __init__(
        self, track: str, run_dir: Path, kind: str, file: Path, parameters: dict[str, Any]
    ) -> None:
        super().__init__(name=f"track {track}", daemon=True)
        self.track, self.run_dir, self.kind, self.file = track, run_dir, kind, file
        self.parameters = {k: v for k, v in parameters.items() if k != "other_parameters"}
        self.ending = threading.Event()
        self.tracker: trackers.Tracker | None = None
        self.offset = self.count = 0  # bytes and lines of the file that were read
        self.waiting: list[tuple[int, dict]] = []  # lines that were read and are not sent
        self.warned, self.pause = False, 0.0
        self.states = _noted(_state_file(run_dir, kind))  # tracker → {"run_id", "sent"}
        self.state = self.states.setdefault(track, {"run_id": "", "sent": 0})

    def run(self) -> None:
        ended = False
        while not ended:
            ended = self.ending.wait(EVERY)  # looks once more after the end
            self._read()
            if self.waiting and (ended or time.monotonic() >= self.pause):
                self._trying(self._send)
        if self.tracker:
            self._trying(self.tracker.finish)

    def end(self) -> None:
        """Send the rest; wait for it, but not for ever."""
        self.ending.set()
        self.join(PATIENCE)
        if self.is_alive():
            self._warn(f"is not done after {PATIENCE:.0f} s")

    def _read(self) -> None:
        """The whole lines that came since."""
        if not self.file.exists():
            return
        with open(self.file, "rb") as stream:
            stream.seek(self.offset)
            for raw in stream:
                if not raw.endswith(b"\n"):
                    return
                self.offset += len(raw)
                self.count += 1
                line = json.loads(raw)
                number = line["step"] if self.kind == "train" else self.count
                if number > self.state["sent"]:
                    self.waiting.append((number, line))

    def _send(self) -> None:
        if self.tracker is None:
            self.tracker = self._open()
        while self.waiting:
            number, line = self.waiting[0]
            if number > self.state["sent"]:  # not in a line that the tracker had already
                self.tracker.log(number, line["step"], _values(self.kind, line))
                self.state["sent"] = number
            del self.waiting[0]
        self._note()

    def _open(self) -> trackers.Tracker:
        place = trackers.Place(self.run_dir, self.kind, self.parameters, self.state["run_id"])
        tracker = trackers.OPEN[self.track](place)
        sent = tracker.sent()  # a kill may have come between a line and its note, either way
        sent = self.state["sent"] if sent is None else sent
        self.state |= {"run_id": tracker.run_id, "sent": sent}
        self._note()
        self.offset = self.count = 0  # what the tracker has lost is sent, too
        self.waiting = []
        self._read()
        log.info(f"{self.track} shows {place.name}: {tracker.where}")
        return tracker

    def _note(self) -> None:
        files.write_json(_state_file(self.run_dir, self.kind), self.states)

    def _trying(self, what: Any) -> None:
        try:
            what()
        except Exception as error:
            self.pause = time.monotonic() + AGAIN
            self._warn(f"failed ({type(error).__name__}: {str(error).partition(chr(10))[0]})")

    def _warn(self, what: str) -> None:
        if not self.warned:
            self.warned = True
            log.warning(
                f"track: {self.track} {what}; the work goes on without it, and what it lacks is "
                "sent later, or when the run is started again."
            )


def _values(kind: str, line: dict) -> dict[str, float]:
    """The numbers of a line, by what a tracker calls them."""
    prefix = "/".join(filter(None, (kind, line.get("benchmark", ""))))
    return {
        f"{prefix}/{key}": value
        for key, value in line.items()
        if key != "step"
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
