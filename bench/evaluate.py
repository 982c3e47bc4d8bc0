"""One engine for the base and all checkpoints against a fresh process and engine for each
checkpoint and benchmark.

    # the pocket student
    python bench/evaluate.py [--checkpoints 5] [--prompts 50] [--new-tokens 64]
    # another student
    python bench/evaluate.py --student FOLDER --chat-template llama3 --dtype bfloat16

The peer is what evaluation scripts usually do: for every checkpoint and benchmark a new process
that starts vLLM and generates; `fresh served` hands vLLM the adapter, `fresh merged` merges it
first (written by students/merge.py, and loaded). Ours, in engines/start.py: `merged`, `multi`
(vLLM) and `hf` (Transformers), each with the adapter proof, for all prompts of all checkpoints, in
a process of its own too. Adapters are random, as large as trained ones; prompts are the pocket
run's, math and code; decoding is greedy.

Every way runs once in a round, in turn; seconds are shown for start (processes, engines, loading,
merging, proof) and generation apart. Writes bench/results/evaluate_<device>_<student>.json: rounds,
medians, ratios of our `auto` and of every way to the faster peer, whether all ways gave the same
tokens, and the proofs. Exit status 1 where a proof fails."""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS, PEERS = ("merged", "multi", "hf"), ("fresh merged", "fresh served")


def run(args) -> object:
    """The parameters of the evaluation."""
    from distill_nb import params

    changes = dict(
        dtype=args.dtype,
        max_new_tokens=args.new_tokens,
        max_steps=10 * args.checkpoints,
        save_every=10,
        run_name="bench",
        eval_batch_size=args.prompts,
    )
    if args.student:
        changes |= dict(student=args.student, chat_template=args.chat_template)
    if args.targets:
        changes |= dict(lora_targets=args.targets.split(","))
    return params.pocket(**changes)


def make_adapters(p) -> None:
    """Random adapters in the places of the checkpoints, each with the trainer's proof."""
    import torch

    from distill_nb.runtime import paths
    from distill_nb.students import chat, proof, student

    model = student.attach_lora(student.load(p), p)
    text = chat.prompt_ids(
        student.load_tokenizer(p),
        chat.template_for(p.student, p.chat_template),
        [{"role": "user", "content": " ".join(prompts(20)[0])}],
    )[:256]
    for step in range(10, p.max_steps + 1, 10):
        torch.manual_seed(step)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.02)
        folder = paths.checkpoint_dir(p, step)
        model.save_pretrained(folder)
        proof.write(model, text, folder)


def prompts(count: int) -> tuple[list[str], list[str]]:
    """Two benchmarks' worth of prompts."""
    from distill_nb.traces import pocket

    made = {domain: pocket.pocket_traces("sonnet", domain, count, 0) for domain in ("math", "code")}
    return tuple([t["problem"] for t in rows] for rows in made.values())


def requests(p, count: int, steps: list[int], benchmarks) -> list:
    """A request for every checkpoint, benchmark and prompt; its number says which."""
    from distill_nb.evaluation.engines.types import Request
    from distill_nb.students import chat, student

    tokenizer, template, texts = (
        student.load_tokenizer(p),
        chat.template_for(p.student, p.chat_template),
        prompts(count),
    )
    return [
        Request(
            step * 10_000 + b * 1000 + i,
            step,
            chat.prompt_ids(tokenizer, template, [{"role": "user", "content": texts[b][i]}]),
            i,
        )
        for step in steps
        for b in benchmarks
        for i in range(count)
    ]


def ours(p, way: str, count: int, benchmarks: int) -> dict:
    """The whole evaluation by our own engine, in this process; seconds of generation, answers and
    proofs."""
    from distill_nb.evaluation.engines import start
    from distill_nb.evaluation.proofs import proved
    from distill_nb.runtime import paths
    from distill_nb.students import proof

    p = replace(
        p, engine="hf" if way == "hf" else "vllm", adapters="multi" if way == "multi" else "merged"
    )
    steps = list(range(10, p.max_steps + 1, 10))
    asked, adapters = (
        requests(p, count, [0, *steps], range(benchmarks)),
        {s: paths.checkpoint_dir(p, s) for s in steps},
    )
    references = {s: proof.read(f) for s, f in adapters.items()}
    generation, answers, proofs = 0.0, {}, []
    prompts, texts = [r.prompt for r in asked], [r["tokens"] for r in references.values()]
    with start.start(p, adapters, prompts, texts) as engine:
        for served, found in proved(p, engine, steps, references):
            proofs += found
            since = time.perf_counter()
            for batch in engine.answers([r for r in asked if r.step in served]):
                answers |= {a.number: a.tokens for a in batch}
            generation += time.perf_counter() - since
    return {
        "generation": generation,
        "answers": answers,
        "proofs": [
            {k: getattr(f, k) for k in ("step", "passed", "error", "effect", "why")} for f in proofs
        ],
    }


def process(*arguments: str, environment: dict | None = None) -> dict:
    """This script in a process of its own; what it prints as its result."""
    done = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], *arguments],
        capture_output=True,
        text=True,
        env=environment,
    )
    found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    if not found:
        print(done.stderr, file=sys.stderr)
        raise RuntimeError(
            f"{' '.join(arguments)} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
        )
    return json.loads(found[1])


def timed(way: str, p, benchmarks: int) -> dict:
    """One way, from the start of its processes to their end."""
    begin = time.perf_counter()
    made = process("--one", way, "", "") if way in OURS else fresh(p, way, benchmarks)
    total = time.perf_counter() - begin
    answers = {int(n): tokens for n, tokens in made["answers"].items()}
    return made | {"answers": answers, "seconds": total, "start": total - made["generation"]}


def fresh(p, way: str, benchmarks: int) -> dict:
    """The whole evaluation by the peer: a process for each checkpoint and benchmark."""
    from distill_nb.evaluation.engines import tuned
    from distill_nb.evaluation.engines.vllm import CPU_ENVIRONMENT, GPU_ENVIRONMENT, QUIET
    from distill_nb.students.student import device

    generation, answers = 0.0, {}
    ours = CPU_ENVIRONMENT if device() == "cpu" else GPU_ENVIRONMENT
    environment = ours | QUIET | os.environ
    environment |= tuned.environment(p, "merged" if way == "fresh merged" else "multi")
    for step in range(0, p.max_steps + 1, 10):
        for benchmark in range(benchmarks):
            result = process("--one", way, str(step), str(benchmark), environment=environment)
            generation += result["generation"]
            answers |= result["answers"]
    return {"generation": generation, "answers": answers}


def one(p, way: str, step: int, benchmark: int, count: int) -> dict:
    """One process of the peer: start vLLM, generate for one checkpoint and benchmark."""
    from vllm import LLM, SamplingParams, TokensPrompt
    from vllm.lora.request import LoRARequest

    from distill_nb.evaluation.engines.vllm import gpu_settings
    from distill_nb.runtime import paths
    from distill_nb.students import chat, generation, merge, sources, student

    asked = requests(p, count, [step], [benchmark])
    adapter = paths.checkpoint_dir(p, step) if step else None
    with tempfile.TemporaryDirectory() as folder:
        model, lora = sources.source(p), {}
        if adapter and way == "fresh merged":
            merge.write_merged(p, adapter, Path(folder))
            model = folder
        elif adapter:
            lora = {"enable_lora": True, "max_lora_rank": p.lora_rank}
        device = {"enforce_eager": True} if student.device() == "cpu" else gpu_settings(p)
        longest = max(len(r.prompt) for r in asked) + p.max_new_tokens
        llm = LLM(
            model=model,
            dtype=p.dtype,
            max_model_len=longest,
            skip_tokenizer_init=True,
            generation_config=str(generation.nothing()),
            **lora,
            **device,
        )
        stop = chat.stop_ids(
            student.load_tokenizer(p), chat.template_for(p.student, p.chat_template)
        )
        sampling = SamplingParams(
            temperature=0,
            max_tokens=p.max_new_tokens,
            stop_token_ids=stop,
            ignore_eos=True,
            detokenize=False,
        )
        since = time.perf_counter()
        made = llm.generate(
            [TokensPrompt(prompt_token_ids=r.prompt) for r in asked],
            sampling,
            use_tqdm=False,
            lora_request=LoRARequest("adapter", 1, str(adapter)) if lora else None,
        )
        return {
            "generation": time.perf_counter() - since,
            "answers": {
                r.number: list(m.outputs[0].token_ids) for r, m in zip(asked, made, strict=True)
            },
        }


def summary(rounds: dict[str, list[dict]], auto: str) -> dict:
    """Medians, ratios to the faster peer, and how many answers each way shares with Transformers,
    else with the first."""
    medians = {
        way: {
            k: round(statistics.median(r[k] for r in made), 1)
            for k in ("seconds", "start", "generation")
        }
        for way, made in rounds.items()
    }
    peer = min(
        (way for way in PEERS if way in rounds),
        key=lambda way: medians[way]["seconds"],
        default=None,
    )
    compared = "hf" if "hf" in rounds else next(iter(rounds))
    expected = rounds[compared][0]["answers"]
    return {
        "medians": medians,
        "faster_peer": peer,
        "auto": auto,
        "ratios": {
            way: round(m["seconds"] / medians[peer]["seconds"], 3) for way, m in medians.items()
        }
        if peer
        else {},
        "answers": len(expected),
        "tokens": sum(map(len, expected.values())),
        f"answers_as_{compared}": {
            way: sum(made[0]["answers"][n] == tokens for n, tokens in expected.items())
            for way, made in rounds.items()
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoints", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=50, help="of each benchmark")
    parser.add_argument("--benchmarks", type=int, default=2, choices=(1, 2))
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", default=",".join((*PEERS, *OURS)), help="comma-separated")
    parser.add_argument(
        "--student", default="", help="a folder or hub id; default: the pocket student"
    )
    parser.add_argument("--chat-template", default="auto")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--targets", default="", help="lora_targets, comma-separated")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench" / "results", help="folder for the JSON file"
    )
    parser.add_argument("--runs", default="", help=argparse.SUPPRESS)
    parser.add_argument(
        "--one", nargs=3, metavar=("WAY", "STEP", "BENCHMARK"), help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not args.runs:
            args.runs = folder
            sys.argv += ["--runs", folder]
        os.environ["DISTILL_NB_RUNS"] = args.runs
        p = run(args)
        if args.one:
            way, step, benchmark = args.one
            made = (
                ours(p, way, args.prompts, args.benchmarks)
                if way in OURS
                else one(p, way, int(step), int(benchmark), args.prompts)
            )
            print("\nRESULT " + json.dumps(made))
            return 0
        # In a process of its own: what it leaves on a GPU would be missing there.
        subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; sys.path.insert(0, sys.argv.pop(1)); import evaluate\n"
                "from distill_nb import params; p = "
                "params.validate(__import__('json').loads(sys.argv[1]))\n"
                "evaluate.make_adapters(p)",
                str(Path(__file__).parent),
                json.dumps(vars(p)),
            ],
            check=True,
        )
        return compare(p, args)


def compare(p, args) -> int:
    """All ways, in turn; writes and prints the result."""
    from distill_nb.evaluation.engines import start
    from distill_nb.runtime import provenance

    rounds: dict[str, list[dict]] = {}
    for _ in range(args.rounds):
        for way in args.ways.split(","):
            made = timed(way, p, args.benchmarks)
            rounds.setdefault(way, []).append(made)
            print(
                f"{way}: {made['seconds']:.1f} s, {made['generation']:.1f} of them generation",
                flush=True,
            )
    automatic = replace(p, engine="auto", adapters="auto")
    auto = "hf" if start.engine_name(automatic) == "hf" else start.adapter_mode(automatic)
    proofs = [
        dict(found, way=way)
        for way, made in rounds.items()
        for r in made
        for found in r.get("proofs", [])
    ]
    result = {
        "device": provenance.device(),
        "packages": provenance.versions(),
        "load_average": os.getloadavg()[0],
        "student": Path(p.student).name,
        "dtype": p.dtype,
        "checkpoints": args.checkpoints,
        "benchmarks": args.benchmarks,
        "prompts": args.prompts,
        "new_tokens": args.new_tokens,
        **summary(rounds, auto),
        "rounds": [
            {
                way: {k: round(v, 2) for k, v in made[i].items() if isinstance(v, float)}
                for way, made in rounds.items()
            }
            for i in range(args.rounds)
        ],
        "proofs": proofs,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    name = result["device"]["name"] if result["device"]["kind"] == "cuda" else "cpu"
    name = re.sub("[^a-z0-9]+", "-", f"{name} {result['student']} {p.dtype}".lower())
    (args.out / f"evaluate_{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(
        json.dumps(
            {k: v for k, v in result.items() if k not in ("packages", "proofs", "rounds")}, indent=1
        )
    )
    failed = [found for found in proofs if not found["passed"]]
    print(
        f"{len(proofs)} adapter proofs, {len(failed)} failed"
        + "".join(f"\n{found}" for found in failed)
    )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
