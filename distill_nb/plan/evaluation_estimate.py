"""What an evaluation with vLLM on a GPU will take: hours by benchmark, and disk.

An answer's tokens are made one a step, and a step of B answers at once reads all weights that they
meet and the keys and values of what each has so far: its time is that of the memory's bandwidth, or
of the operations where these take longer. B is what the cache has room for. Prompts, and grading,
which runs beside, are not counted. Every constant below is an assumption; nothing of this has run
on a GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from distill_nb import params
from distill_nb.benchmarks import (
    aime,
    aime25,
    evalplus_data,
    gpqa_diamond,
    ifeval,
    livecodebench,
    loading,
    math500,
)
from distill_nb.evaluation.engines import slots, types
from distill_nb.params import Params
from distill_nb.plan import architectures, trace_lengths
from distill_nb.plan.devices import Device
from distill_nb.runtime.devices import GIB
from distill_nb.students import student

if TYPE_CHECKING:
    from transformers import PretrainedConfig

PROBLEMS = {
    "math500": math500.SIZE,
    "aime": len(aime.IDS),
    **evalplus_data.SIZES,
    "livecodebench": livecodebench.TAKEN,
    "aime25": aime25.SIZE,
    "gpqa_diamond": gpqa_diamond.SIZE,
    "ifeval": ifeval.SIZE,
    "pocket_math": 56,
    "pocket_code": 30,
}
PROMPT = 300  # tokens
CUT = 0.5  # of the answers that run to max_new_tokens, beside those of R1's length: at most
REACHED = (0.35, 0.7)  # of the bandwidth and of the operations
WORK = 2 * GIB  # of the GPU's memory: what vLLM computes in, and its CUDA graphs
START = (60, 300)  # seconds until an engine answers, beside reading its weights
DISK = (0.5e9, 2e9)  # bytes a second that are read or written
CHARACTERS, RECORD = 4, 1000  # bytes of a token as text, and of a record beside its answer


@dataclass(frozen=True)
class Evaluation:
    """Ranges are (least, most); hours are those of `gpus` GPUs together at work, {} where they are
    not planned."""

    answers: dict[str, int]  # by benchmark, of the base and all checkpoints
    tokens: tuple[int, int]  # of all answers
    hours: dict[str, tuple[float, float]]  # by benchmark, and `loading`
    at_once: int  # answers, where each has its full length
    gpus: int
    disk: dict[str, int]  # records, merged: bytes at the most
    notes: tuple[str, ...]

    @property
    def total(self) -> tuple[float, float]:
        return sum(h[0] for h in self.hours.values()), sum(h[1] for h in self.hours.values())


def estimate(p: Params, device: Device) -> Evaluation:
    """The evaluation of a run, or of a baseline. Raises ValueError for a student whose config the
    hub does not give."""
    config, source = architectures.config_of(p)
    made = of_config(p, device, config, architectures.count(config, p))
    return replace(made, notes=(f"{p.student}: {source}", *made.notes))


def _problems(p: Params, entry: str) -> int:
    """How many problems of a benchmark a run answers; of one's own they are counted in its file."""
    name = params.benchmark_name(entry)
    count = PROBLEMS.get(name) or len(loading.load(entry, p.benchmark_files.get(name)))
    return min(count, p.benchmark_limit or count)


def of_config(
    p: Params, device: Device, config: PretrainedConfig, counts: dict[str, int]
) -> Evaluation:
    """`estimate` of a student that is counted already."""
    steps = params.steps(p) if p.adapter == "none" else [0, 1]
    answers = {
        params.benchmark_name(entry): _problems(p, entry) * p.n_samples * len(steps)
        for entry in p.benchmarks
    }
    expected = trace_lengths.r1_lengths(p.max_new_tokens)
    cut = round(len(expected) * CUT / (1 - CUT)) * [p.max_new_tokens]
    spreads = [trace_lengths.mean_and_square(lengths) for lengths in (expected, expected + cut)]
    count = sum(answers.values())
    on_gpu = device.kind == "cuda"
    vllm = p.engine == "vllm" or (p.engine == "auto" and (on_gpu or types.installed_vllm()))
    merged = vllm and _merges(p, config, device)
    size = student.bytes_of_number(p)  # adapters are evaluated on weights that are not quantised
    weights = counts["parameters"] * size
    made = Evaluation(
        answers=answers,
        tokens=(round(count * spreads[0][0]), round(count * spreads[1][0])),
        hours={},
        at_once=0,
        gpus=p.tensor_parallel * p.data_parallel,
        disk={
            "records": count * (p.max_new_tokens * CHARACTERS + RECORD),
            "merged": weights if merged and len(steps) > 1 else 0,  # one at a time
        },
        notes=(),
    )
    if not (vllm and on_gpu and device.bandwidth):
        why = "its hours are planned with vLLM on a GPU of known bandwidth only"
        return replace(made, notes=(f"evaluation: {why}",))

    gpus = p.tensor_parallel
    beside = 0 if merged or len(steps) == 1 else slots.memory_of(p, config, len(steps) - 1)
    room = gpus * (p.gpu_memory * device.memory - WORK - beside) - weights
    width = config.num_key_value_heads * architectures.head_dim(config)
    cache = 2 * config.num_hidden_layers * width * size  # bytes of a token
    most = count // (len(steps) if merged else 1) // p.data_parallel or 1

    def at_once(context: float) -> int:
        return int(min(p.max_num_seqs, most, max(0, room) / (context * cache)))

    def step(answering: int, context: float, i: int) -> float:
        """Seconds."""
        read = _read(config, counts, answering) * size + answering * context * cache
        active = counts["active_parameters"] + counts["head_parameters"]
        operations = 2 * answering * active
        at_best = max(read / device.bandwidth, operations / device.flops) / gpus
        return at_best / REACHED[i]

    # tokens that an answer under way has on average
    contexts = [PROMPT + square / mean / 2 for mean, square in spreads]
    together = [at_once(context) for context in contexts]
    if not all(together):
        why = f"vLLM has no room beside {weights / GIB:,.1f} GiB of weights"
        return replace(made, notes=(f"evaluation: {why}; raise tensor_parallel",))
    # the least at the rate that is reached at the most
    each = [
        mean * step(b, context, 1 - i) / b / p.data_parallel / 3600
        for i, ((mean, _), context, b) in enumerate(zip(spreads, contexts, together, strict=True))
    ]
    hours = {name: (n * each[0], n * each[1]) for name, n in answers.items()}
    loads = len(steps) if merged else 1
    # a mixture is served by a new engine each time; merging reads a student and writes another
    starts = loads if _experts(config) else 1
    moved = weights * (loads + 2 * (loads - 1) * merged)
    loading = [
        starts * START[i]
        + moved / DISK[1 - i]
        + loads * p.max_new_tokens * step(1, contexts[1], 1 - i)  # the last answer, alone
        for i in (0, 1)
    ]
    hours["loading"] = (loading[0] / 3600, loading[1] / 3600)
    mean, more = (round(mean) for mean, _ in spreads)
    note = (
        f"evaluation: answers of {mean:,} tokens on average, as 200 traces of R1 cut at "
        f"{p.max_new_tokens:,}, to {more:,}, where {CUT:.0%} run to that; grading is not counted"
    )
    return replace(made, hours=hours, at_once=min(together), notes=(note,))


def _experts(config: PretrainedConfig) -> int:
    return getattr(config, "num_experts", 0) or 0


def _merges(p: Params, config: PretrainedConfig, device: Device) -> bool:
    """As evaluation.engines.start.adapter_mode, on the planned device."""
    if p.adapters != "auto":
        return p.adapters == "merged"
    count = 0 if p.adapter == "none" else 1
    memory = device.total or device.memory
    return device.kind != "cuda" or slots.choose(p, config, memory, count)[0] == "merged"


def _read(config: PretrainedConfig, counts: dict[str, int], answering: int) -> float:
    """Weights that a step of so many answers reads: of a mixture the experts that any of them
    meets, each of its tokens taking some at random."""
    active, head = counts["active_parameters"], counts["head_parameters"]
    if not _experts(config):
        return active + head
    share = config.num_experts_per_tok / config.num_experts
    embeddings = head * (1 if config.tie_word_embeddings else 2)
    experts = (counts["parameters"] - embeddings - active) / (1 - share)
    met = 1 - (1 - share) ** answering
    return active - share * experts + met * experts + head
