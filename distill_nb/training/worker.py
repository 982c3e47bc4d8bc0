"""One of several processes that train a run together; parallel.launch has torchrun start it."""

import contextlib
import json
import os
import pickle
import sys
import threading
from pathlib import Path

from distill_nb.runtime import gpus, log, stop
from distill_nb.students import student
from distill_nb.training import train
from distill_nb.training.parallel import FAILED, STOP


def _end_with_the_notebook() -> None:
    """Standard input ends when the process that launched this one does."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def _told(file: Path) -> str:
    """What asks the process that launched this one to end."""
    return file.read_text() if file.exists() else ""


def main(folder: Path) -> None:
    """Train. The first process that fails leaves its exception in FOLDER/failed.json."""
    gpus.hold()
    log.show()
    threading.Thread(target=_end_with_the_notebook, daemon=True).start()
    try:
        job = pickle.loads((folder / "job.pickle").read_bytes())
        student.choose_backend(job["p"])  # before anything imports Transformers
        student.import_for_training()
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        else:  # Trainer loads a saved optimiser to "cpu:0", which torch.load does not know
            torch.serialization.register_package(
                5, lambda _: None, lambda storage, place: storage if "cpu" in place else None
            )
        with stop.listening() as heard:
            train.fit(**job, stopping=lambda: heard() or _told(folder / STOP))
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    except Exception as error:
        # "x" fails where another process has left its own
        with contextlib.suppress(OSError), open(folder / FAILED, "x") as file:
            json.dump({"type": type(error).__name__, "message": str(error)}, file)
        raise


if __name__ == "__main__":
    main(Path(sys.argv[1]))
