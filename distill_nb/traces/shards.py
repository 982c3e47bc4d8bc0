"""One set of traces by several jobs, on as many machines. Of a set from files each job judges its
share of the row groups, whose parts build.py then finds; of a set from an API teacher each asks
about its share of the problems (teacher/clients.py). Making the set does what is left."""

from distill_nb.runtime import disk, lock, stop
from distill_nb.runtime.shard import Shard
from distill_nb.traces import build, files, from_hub, from_teacher
from distill_nb.traces.params import TraceParams


def make(p: TraceParams, shard: Shard) -> None:
    """Make one shard of a set; one that was killed goes on. Raises ValueError where a source or an
    evaluation set is missing, where the traces are generated, or where another process is at the
    shard; RuntimeError where a worker process was killed."""
    folder = files.folder_of(p.dataset, p.scale)
    place = folder / "parts" / str(shard)
    kept = "what is judged, and what a teacher answered, is on disk, and the shard goes on there."
    with lock.alone(place, "being made", "dataset"), disk.room(folder), stop.raising(kept):
        evaluation = build.evaluation_sets(p)
        if p.teacher_api == "none":
            from_hub.judge(p, folder, evaluation, shard)
        else:
            from_teacher.ask(p, evaluation, shard)
