"""Several processes, on as many machines, that ask one API teacher: each asks its own slice of the
problems and writes to a store of its own,

    <the teacher's folder>/clients/2_of_4/

which begins with what the teacher's folder already has of these problems. `merge` puts the stores
together; it is the first thing that making a set does, whoever began it. As no two stores share a
problem, nothing is asked twice but what a killed client had under way (send.py)."""

import contextlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from distill_nb.runtime import jsonl, lock
from distill_nb.runtime.files import write_json
from distill_nb.runtime.shard import Shard, folders
from distill_nb.traces.teacher import costs, generation
from distill_nb.traces.teacher.generation import Generated
from distill_nb.traces.teacher.settings import Settings
from distill_nb.traces.teacher.store import GIVE_UP, LINES, differing_settings
from distill_nb.traces.teacher.work import Verify

log = logging.getLogger(__name__)
FOLDER, SEEDED, BUSY = "clients", "seeded.json", "being filled with traces"
# What tells a line of each file from the others.
Key = Callable[[dict], tuple]
KEYS: dict[str, Key] = {
    "batches.jsonl": lambda line: (line["event"], line["token"]),
    "responses.jsonl": lambda line: (line["custom_id"],),
    "verdicts.jsonl": lambda line: (line["custom_id"], line["grader"]),
}


def folder(main: Path, shard: Shard) -> Path:
    """The store of a client of the teacher's folder `main`."""
    return main / FOLDER / str(shard)


def ask(
    s: Settings, problems: list[dict], main: Path, shard: Shard, verify: Verify | None = None
) -> Generated:
    """Ask about a client's slice of the problems, and go on where it was stopped; arguments and
    errors are those of generation.generate. The client may spend its share of what max_cost leaves.

    Raises ValueError where teacher_mode is batch, and while another process fills `main` or clients
    of another number are at work."""
    if s.teacher_mode != "messages":
        raise ValueError(
            "teacher_mode: batch is one account's, and has no clients; write messages, or make the "
            "set by one process."
        )
    own = shard.every(problems)
    with lock.locked(main, doing=BUSY):  # clients that start together wait for each other
        _merge(main, [f for f in folders(main / FOLDER) if not f.name.endswith(f"_of_{shard.of}")])
        place = folder(main, shard)
        if not (place / SEEDED).exists():
            _seed(main, place, {problem["id"] for problem in own})
        price = costs.price_of(s.teacher_model)
        spent = costs.spent(price, _tokens(main))
    seeded = json.loads((place / SEEDED).read_text(encoding="utf-8"))["tokens"]
    share = max(0.0, s.max_cost - spent) / shard.of + costs.spent(price, seeded)
    log.info(
        f"Client {shard.number} of {shard.of}: {len(own):,} of {len(problems):,} problems, and "
        f"{costs.dollars(share)} for all that it has asked and asks."
    )
    return generation.generate(replace(s, max_cost=share), own, place, verify)


def _seed(main: Path, place: Path, ids: set[str]) -> None:
    """Begin a client's store with what is known of its problems."""
    place.mkdir(parents=True, exist_ok=True)
    lines = {name: [line for _, line in jsonl.lines(main / name)] for name in LINES}
    tokens = {
        event["token"]
        for event in lines["batches.jsonl"]
        if any(request[0] in ids for request in event.get("requests", []))
    }
    kept = {
        name: [line for line in found if line.get("id") in ids] for name, found in lines.items()
    }
    kept["batches.jsonl"] = [e for e in lines["batches.jsonl"] if e["token"] in tokens]
    for name, found in kept.items():
        jsonl.write(place / name, found)
    for name in ("settings.json", GIVE_UP):
        if (main / name).exists():
            shutil.copyfile(main / name, place / name)
    write_json(place / SEEDED, {"tokens": _tokens(place)})


def _tokens(store: Path) -> dict[str, list[int]]:
    """mode → [input tokens, output tokens] of a store, as Store.tokens has it."""
    total = {"batch": [0, 0], "messages": [0, 0]}
    for _, line in jsonl.lines(store / "responses.jsonl"):
        total[line["mode"]][0] += line["input_tokens"]
        total[line["mode"]][1] += line["output_tokens"]
    return total


def merge(main: Path) -> None:
    """Put what clients have into the teacher's folder, and remove their stores. One that was killed
    is done again, and adds nothing twice. Raises ValueError while a client is at work."""
    if found := folders(main / FOLDER):
        with lock.alone(main, BUSY, "folder"):
            _merge(main, found)
            with contextlib.suppress(OSError):  # a client has begun
                (main / FOLDER).rmdir()


def _merge(main: Path, stores: list[Path]) -> None:
    for store in stores:
        with lock.alone(store, BUSY, "folder"):
            _settings(main, store)
            added = [_add(main / name, store / name, KEYS[name]) for name in LINES]
            shutil.rmtree(store)
        log.info(f"{store.name.replace('_', ' ')}: {added[1]:,} responses are merged.")


def _settings(main: Path, store: Path) -> None:
    """The settings of a teacher's folder that only clients have filled so far. Raises ValueError
    where a client's are others."""
    if not (store / "settings.json").exists():
        return
    own = json.loads((store / "settings.json").read_text(encoding="utf-8"))
    if not (main / "settings.json").exists():
        write_json(main / "settings.json", own)
        return
    known = json.loads((main / "settings.json").read_text(encoding="utf-8"))
    if differing := differing_settings(known, own["settings"]):
        raise ValueError(
            f"{store.parent.name}/{store.name}/settings.json: the responses there were made with "
            f"other values of {', '.join(differing)} than those of {main.name}; delete that "
            "folder, or choose another one for the teacher."
        )


def _add(file: Path, more: Path, key: Key) -> int:
    """Append the lines of another file that a file lacks; how many."""
    jsonl.cut_torn_line(file)
    known = {key(line) for _, line in jsonl.lines(file)}
    new = [line for _, line in jsonl.lines(more) if key(line) not in known]
    if new:
        jsonl.append(file, new)
    return len(new)
