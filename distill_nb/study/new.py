"""A new study: a folder with a study file, run files, baselines and sets, commented, which pass the
checks as they are (`distill-nb new`).

A run file is run 7's without what is that run's own: every key, with its help. Sizes follow from
how many traces there are; each is seen once, as in the published study."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from distill_nb import params
from distill_nb.params import Params, yaml_text
from distill_nb.params.names import is_set
from distill_nb.runtime import data_files, paths
from distill_nb.students import chat
from distill_nb.study import study_file
from distill_nb.traces import rows as trace_rows

LIKE = "run07.yaml"  # whose order and headings of keys a run file has
FEWEST = 20  # traces: the tiny scale takes 18
STEPS, CHECKPOINTS = 500, 5  # of a whole run
BATCH_SIZES = (50, 25, 10, 5, 2)
RATE = 2.0e-4


@dataclass(frozen=True)
class Source:
    """Traces to learn from: a file, or a set of traces.ipynb."""

    dataset: str  # as in a run file
    name: str  # in the names of runs
    teacher: str
    domain: str
    count: int


def write(
    folder: Path,
    students: list[str],
    traces: list[str],
    domain: str = "math",
    teacher: str | None = None,
    chat_template: str = "auto",
) -> Path:
    """Write a study into a new folder; returns its study file. Raises ValueError, and writes
    nothing, where the folder has files already, a student's chat template is unknown, or traces
    cannot be read or are too few."""
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: there is something already: name a new folder.")
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", folder.name).strip("_-")
    if not re.match(r"[A-Za-z]", name) or name in study_file.SCALES:
        raise ValueError(
            f"{folder.name}: a study has the name of its folder: begin that with a letter, and "
            f"take none of {', '.join(study_file.SCALES)}."
        )
    students = [_student(s) for s in dict.fromkeys(students)]
    for student in students:
        chat.template_for(student, chat_template)
    sources = [_source(t, domain, teacher) for t in dict.fromkeys(traces)]
    short = _distinct(
        [re.sub(r"[^a-z0-9]+", "_", Path(s).name.lower()).strip("_") for s in students]
    )
    names = _distinct([s.name for s in sources])
    texts, runs, baselines = {}, [], []
    for student, own in zip(students, short, strict=True):
        about = {"student": student, "chat_template": chat_template}
        for source, traces_name in zip(sources, names, strict=True):
            run = f"{own}_{traces_name}"
            runs.append(f"{run}.yaml")
            texts[runs[-1]] = _run_file(run, about, source)
        baselines.append(f"baseline_{own}.yaml")
        texts[baselines[-1]] = _baseline_file(f"baseline_{own}", about)
    sets = {f"traces_{s.dataset}.yaml": s for s in sources if is_set(s.dataset)}
    texts |= {file: _set_file(s.dataset, students) for file, s in sets.items()}
    counts = [s.count for s in sources if not is_set(s.dataset)]
    texts["study.yaml"] = _study_text(name, runs, baselines, list(sets), counts)
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    study_file.check(study_file.read(folder / "study.yaml"))
    return folder / "study.yaml"


def _student(name: str) -> str:
    """A student as a run file names it: a folder by its place, whatever folder that is read in."""
    folder = Path(name).expanduser()
    return paths.movable(folder.absolute()) if folder.is_dir() else name


def _source(given: str, domain: str, teacher: str | None) -> Source:
    if is_set(given):
        file = paths.PARAMS_DIR / f"traces_{given}.yaml"
        if not file.is_file():
            raise ValueError(
                f"{given}: there is no papermill_params/traces_{given}.yaml: name a file of "
                "traces, or write that one first."
            )
        its_teacher, its_domain = given.split("_")
        count = study_file.values_of(file.name)["n_examples"]
        return Source(given, given, its_teacher, its_domain, count)
    place = Path(given).expanduser().absolute()
    if place.suffix not in (".jsonl", ".parquet") or not place.is_file():
        raise ValueError(
            f"{given}: this is no file of traces and no set: name a .jsonl or .parquet file, or a "
            "set as r1_math."
        )
    name = re.sub(r"[^a-z0-9]+", "-", place.stem.lower()).strip("-") or "traces"
    count = sum(
        1 for where, row in data_files.rows(place, given) if trace_rows.trace_of(row, where)
    )
    if count < FEWEST:
        raise ValueError(f"{given}: it has {count} traces: give {FEWEST} or more.")
    return Source(paths.movable(place), name.replace("-", "_"), teacher or name, domain, count)


def _distinct(names: list[str]) -> list[str]:
    """The names, with a number behind those that are there already."""
    return [
        n + (f"_{names[:i].count(n) + 1}" if n in names[:i] else "") for i, n in enumerate(names)
    ]


def sizes(
    count: int, batch_sizes: tuple[int, ...] = BATCH_SIZES, checkpoints: int = CHECKPOINTS
) -> dict[str, int]:
    """The sizes of a run that sees each of `count` traces at most once, some held out: n_examples,
    n_heldout, batch_size, micro_batch_size, max_steps, save_every. batch_sizes: the largest is
    taken that leaves two steps a checkpoint."""
    heldout = min(200, count // 10)
    batch = next((b for b in batch_sizes if (count - heldout) // b >= 2 * checkpoints), 1)
    each = min((count - heldout) // batch, STEPS) // checkpoints
    return {
        "n_examples": each * checkpoints * batch,
        "n_heldout": heldout,
        "batch_size": batch,
        "micro_batch_size": 2 if batch % 2 == 0 else 1,
        "max_steps": each * checkpoints,
        "save_every": each,
    }


def _run_file(name: str, about: dict, source: Source) -> str:
    own = {"run_name": name, "learning_rate": RATE, "dataset": source.dataset}
    own |= {"teacher": source.teacher, "domain": source.domain}
    title = f"{name}: {about['student']} learns from {source.dataset}."
    return _file(title, about | own | sizes(source.count))


def _baseline_file(name: str, about: dict) -> str:
    values = study_file.values_of("baseline_llama.yaml") | about | {"run_name": name}
    title = f"{name}: {about['student']} as it comes. Nothing is trained."
    return _file(title, values)


def _file(title: str, values: dict) -> str:
    """A run file, in the order and with the headings of LIKE; each key with its help."""
    like = (paths.PARAMS_DIR / LIKE).read_text(encoding="utf-8")
    values = study_file.values_of(LIKE) | values
    helps = {f.name: (f.metadata["help"], f.metadata["choices"]) for f in fields(Params)}
    lines = [f"# {title}"]
    for line in like.partition("\n\n")[2].splitlines():
        key = line.partition(":")[0]
        if key not in helps:
            lines += [""] * (line != "" and bool(lines)) + ([line] if line else [])
            continue
        text = f"{key}: {yaml_text.dump(values[key])}"
        about, choices = helps[key]
        words = f"{about} [{' | '.join(choices)}]" if choices and key != "benchmarks" else about
        lines.append(f"{text:<26}  # {words}")
    return "\n".join([*lines, ""])


def _set_file(dataset: str, students: list[str]) -> str:
    """The parameter file of a set, whose ledger is made with the study's students."""
    file = paths.PARAMS_DIR / f"traces_{dataset}.yaml"
    text = file.read_text(encoding="utf-8")
    return re.sub(
        r"^students:.*$",
        lambda _: f"students: {yaml_text.dump(students)}",
        text,
        flags=re.MULTILINE,
    )


def _study_text(
    name: str, runs: list[str], baselines: list[str], sets: list[str], counts: list[int]
) -> str:
    """counts: of the traces of each file."""
    pocket = "# pocket: {learning_rate: 5.0e-4}   # as an example"
    usual = params.pocket()
    enough = usual.n_examples + usual.n_heldout
    few = min(counts, default=enough)
    if few < enough:
        small = sizes(few, (usual.batch_size,), usual.max_steps // usual.save_every)
        small["micro_batch_size"] = small["batch_size"]  # each of 512 tokens at most
        pocket = f"pocket: {yaml_text.dump(small)}   # as there are {few} traces"
    return f"""# A study: its runs. docs/studies.md of distill_nb says what this file may have.
#   distill-nb study {name}/study.yaml --scale tiny      does all of it run? on a CPU, in minutes
#   distill-nb study {name}/study.yaml --scale pocket    with a real student of 135M, on a CPU
#   distill-nb study {name}/study.yaml                   at full size

study: {name}    # it writes to runs/{name}/<scale>/, beside this file

# Parameter files beside this one, or in papermill_params/ of distill_nb.
runs: {yaml_text.dump(runs)}

# In place of one of them, a grid over it: a run for each combination of values, named by what
# differs. Several values of seed are replicates: they tell a difference from chance.
#   - run: {runs[0]}
#     grid: {{learning_rate: [1.0e-4, 2.0e-4], lora_rank: [8, 32], seed: [0, 1]}}

# The students as they come; nothing is trained. Changes are counted from them.
baselines: {yaml_text.dump(baselines)}

# The sets that traces.ipynb makes. Files of traces need none.
sets: {yaml_text.dump(sets)}

# What all runs have at a small scale, over papermill_params/pocket.yaml and tiny.yaml.
{pocket}
"""


def next_steps(file: Path) -> str:
    """What was written, and what to run next."""
    study = study_file.read(file)
    wrote = [f.name for f in sorted(file.parent.iterdir())]
    place = _short(file)
    lines: Iterable[tuple[str, str]] = (
        (f"distill-nb plan {place} --device h100-80gb", "memory, hours and disk that it takes"),
        (f"distill-nb study {place} --scale tiny", "does all of it run? minutes, on a CPU"),
        (f"distill-nb study {place} --scale pocket", "with a real student of 135M, in minutes"),
        (f"distill-nb study {place}", "at full size"),
    )
    width = max(len(command) for command, _ in lines)
    return "\n".join(
        [
            f"{file.parent}: {', '.join(wrote)}",
            f"{len(study.runs)} runs, {len(study.baselines)} baselines. Look at the run files: "
            "learning_rate, sizes and benchmarks are a beginning. Then:",
            *(f"  {command:<{width}}  # {what}" for command, what in lines),
        ]
    )


def _short(file: Path) -> str:
    """A file as seen from the working folder, if it is below that."""
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)
