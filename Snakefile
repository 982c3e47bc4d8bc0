# The study: traces → train → eval → analyze → paper; beside it published. `make study` runs it;
# docs/reruns.md has the rest.
#
#   snakemake                                             the study at full size
#   snakemake --config scale=tiny                         random 2-layer students, in minutes
#   snakemake --config study=my_study/study.yaml          another study (docs/studies.md)
#   snakemake --config shards=4                           four jobs for each evaluation (docs/clusters.md)
#   snakemake runs/full/llama8b_math_4k/train.html        one run alone, with the set that it needs
#   snakemake -n                                          what would run
#
# distill_nb/study/ingredients.py says what each stage is made of. A stage is done when
# made/<stage>-<hash> is there (stamps.py), and the hash changes with what it is made of. Of
# Snakemake's own triggers only the time of a file matters, and only for pages (profiles/default).
import os
import shlex
import sys
import tempfile

sys.path.insert(0, workflow.basedir)  # this checkout's package, wherever another one is installed

from distill_nb.runtime import gpus, paths
from distill_nb.runtime.shard import shards as all_shards
from distill_nb.study import graph, shard_stamps, stamps, study_file

STUDY = study_file.use(config.get("study") or os.environ.get(study_file.VARIABLE) or "published")
SCALE = config.get("scale", STUDY.scale)
OVERWRITE = str(config.get("overwrite", "")).replace(",", " ").split()  # llama8b_math_4k/train
SHARDS = int(config.get("shards", STUDY.shards))
RUNS = paths.runs_from_here()
PYTHON = f"PYTHONPATH={shlex.quote(workflow.basedir)} {shlex.quote(sys.executable)} -m"
DISTILL_NB = f"{PYTHON} distill_nb --study {shlex.quote(str(STUDY.file))}"
DISTILL_NB = DISTILL_NB.replace("{", "{{").replace("}", "}}")  # Snakemake formats it
STAGE = DISTILL_NB + " stage {wildcards.scale}"
SETTINGS = " --made {wildcards.made} --gpus {resources.gpu} --attempt {resources.tries}"
HERE = len(gpus.visible())
NOW = tempfile.NamedTemporaryFile(prefix="distill_nb-now-")  # gone when this process ends


if workflow.is_main_process:  # not a job's: others are running then
    for scale in ("full", "pocket", "tiny"):
        stamps.remove_false_stamps(scale)
    study_file.share(SCALE)
    for name in OVERWRITE:
        shard_stamps.forget(graph.Stage(SCALE, *name.rsplit("/", 1)))


def below(path):
    """The place of an absolute path of the runs folder in this file's terms."""
    return os.path.join(RUNS, os.path.relpath(path, paths.runs()))


def pages(scale):
    return [f"{below(stage.dir())}/{stage.name}.html" for stage in graph.grid(scale)]


def done(stage):
    return below(stamps.stamp(stage))


def renewed(stage):
    """Whether the stage is to be made anew, or reads what is."""
    return str(stage) in OVERWRITE or any(map(renewed, reads(stage)))


def reads(stage):
    """What a stage needs, and the baselines that are made anew whose records it shares."""
    renewed_bases = [base for base in graph.baselines(stage) if str(base) in OVERWRITE]
    return [*graph.needs(stage), *renewed_bases]


def waits(name):
    """The input of a rule: the stages that its own needs, but for those whose results are there."""
    return lambda wildcards: [
        done(need)
        for need in reads(stage_of(wildcards, name))
        if renewed(need) or not stamps.has_results(need)
    ]


def in_shards(name):
    """The input of a rule: the shards that its results are put together from, where these are not
    there yet."""

    def found(wildcards):
        stage = stage_of(wildcards, name)
        if not renewed(stage) and stamps.has_results(stage):
            return []
        n = shard_stamps.count(stage, SHARDS)
        return [below(shard_stamps.stamp(stage, s)) for s in all_shards(n)] if n > 1 else []

    return found


def n_shards(name):
    return lambda wildcards: shard_stamps.count(stage_of(wildcards, name), SHARDS)


def threads(wildcards):
    """One where CPUs train: threads that wait for a busy neighbour are slow."""
    return 8 if wildcards.scale == "full" else 1


def stage_of(wildcards, name):
    return graph.Stage(wildcards.scale, getattr(wildcards, "folder", "report"), name)


def page_of(wildcards):
    """A page is made of its stage. Snakemake does not miss the input of a page that is there. So a
    page of a stage that is not done as it would be now also gets an input that is newer."""
    stamp = stamps.stamp(stage_of(wildcards, wildcards.name))
    return [below(stamp), *([] if stamp.is_file() else [NOW.name])]


def tries(wildcards, attempt):
    """Which attempt this is (`retries`); later ones go on with what the first has overwritten."""
    return attempt


def overwrite(name):
    return lambda wildcards: "--overwrite" if str(stage_of(wildcards, name)) in OVERWRITE else ""


wildcard_constraints:
    scale="full|pocket|tiny",
    folder=r"[\w.-]+(/[\w.-]+)?",
    made="[0-9a-f]{16}",
    shard=r"\d+_of_\d+",


localrules:
    all,
    fixtures,
    page,
    index,


rule all:
    input:
        pages(SCALE),
        f"{RUNS}/{SCALE}/report/index.html",
        [done(stage) for stage in graph.paper(SCALE)],


rule fixtures:
    output:
        RUNS + "/{scale}/{folder}/made/fixtures-{made}",
    resources:
        tries=tries,
        gpu=0,
    shell:
        STAGE + " {wildcards.folder}/fixtures" + SETTINGS


rule traces_shard:
    input:
        waits("traces"),
    output:
        RUNS + "/{scale}/{folder}/made/traces_shard_{shard}-{made}",
    threads: threads
    resources:
        tries=tries,
        gpu=0,
    shell:
        STAGE + " {wildcards.folder}/traces" + SETTINGS + " --shard {wildcards.shard}"


rule traces:
    input:
        waits("traces"),
        in_shards("traces"),
    output:
        RUNS + "/{scale}/{folder}/made/traces-{made}",
    params:
        overwrite=overwrite("traces"),
        shards=n_shards("traces"),
    threads: threads
    resources:
        tries=tries,
        gpu=0,
    shell:
        STAGE + " {wildcards.folder}/traces" + SETTINGS + " {params.overwrite} --shards {params.shards}"


rule train:
    input:
        waits("train"),
    output:
        RUNS + "/{scale}/{folder}/made/train-{made}",
    params:
        overwrite=overwrite("train"),
    threads: threads
    resources:
        tries=tries,
        gpu=lambda wildcards: graph.gpus_of(stage_of(wildcards, "train")) if HERE else 0,
    shell:
        STAGE + " {wildcards.folder}/train" + SETTINGS + " {params.overwrite}"


rule eval_shard:
    input:
        waits("eval"),
    output:
        RUNS + "/{scale}/{folder}/made/eval_shard_{shard}-{made}",
    params:
        overwrite=overwrite("eval"),
    threads: threads
    resources:
        tries=tries,
        gpu=lambda wildcards: graph.gpus_of(stage_of(wildcards, "eval")) if HERE else 0,
    shell:
        STAGE + " {wildcards.folder}/eval" + SETTINGS + " {params.overwrite} --shard {wildcards.shard}"


rule eval:
    input:
        waits("eval"),
        in_shards("eval"),
    output:
        RUNS + "/{scale}/{folder}/made/eval-{made}",
    params:
        overwrite=overwrite("eval"),
        shards=n_shards("eval"),
    threads: threads
    resources:
        tries=tries,
        gpu=lambda wildcards: graph.gpus_of(stage_of(wildcards, "eval")) if HERE else 0,
    shell:
        STAGE + " {wildcards.folder}/eval" + SETTINGS + " {params.overwrite} --shards {params.shards}"


rule analyze:
    input:
        waits("analyze"),
    output:
        RUNS + "/{scale}/{folder}/made/analyze-{made}",
    resources:
        tries=tries,
        gpu=0,
    shell:
        STAGE + " {wildcards.folder}/analyze" + SETTINGS


rule published:
    output:
        RUNS + "/{scale}/{folder}/made/published-{made}",
    resources:
        tries=tries,
        gpu=0,
    shell:
        STAGE + " {wildcards.folder}/published" + SETTINGS


rule paper:
    input:
        waits("paper"),
    output:
        RUNS + "/{scale}/{folder}/made/paper-{made}",
    resources:
        tries=tries,
        gpu=0,
    shell:
        STAGE + " {wildcards.folder}/paper" + SETTINGS


rule page:
    input:
        page_of,
    output:
        RUNS + "/{scale}/{folder}/{name}.html",
    wildcard_constraints:
        name="traces|train|eval|analyze|published",
    params:
        notebook=lambda w: f"{RUNS}/{w.scale}/{w.folder}/{w.name}.ipynb",
    shell:
        DISTILL_NB + " report {params.notebook:q}"


rule index:
    input:
        lambda wildcards: pages(wildcards.scale),
    output:
        RUNS + "/{scale}/report/index.html",
    params:
        folder=lambda wildcards: f"{RUNS}/{wildcards.scale}",
    shell:
        DISTILL_NB + " report {params.folder:q}"


onerror:
    if os.path.isdir(f"{RUNS}/{SCALE}"):
        shell(DISTILL_NB + f" report-failed {SCALE}")
