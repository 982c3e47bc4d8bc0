"""Training problems that an evaluation set asks too: found whatever their layout, names of variables or frame.

A problem is compared with every problem of the evaluation sets by its words (statements.py), with each variable, that is
each single letter or Greek one, read as the same word. It is the same problem if

- three fifths of the evaluation problem's 4-grams of words, with each number read as the same word, are in it (so a problem
  inside a longer statement is found; GPT-3's and later decontamination uses n-gram overlap in this way: Brown et al. 2020,
  arXiv 2005.14165, appendix C), or it is a near-duplicate by MinHash; and
- four fifths of the evaluation problem's numbers are among its own.

Same words and other numbers make the same template: another problem with another answer, of a kind that the training sets are
full of. It is kept and counted (`same_template: keep`), or removed (`remove`). An evaluation problem of fewer
than 8 words must be the whole statement: anything shorter would be found in half of all texts.
"""
from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass

from . import benchmarks, statements
from .benchmarks import BOXED, evalplus_data, livecodebench, sources

NGRAM = 4
SHARE = 0.6     # of the evaluation problem's n-grams; at 0.5 some pairs of MATH-500's own problems match each other
NUMBERS = 0.8   # of its numbers
SIMILAR = 0.6   # Jaccard similarity of pairs of words, for a near-duplicate
SHORT = 8       # words
GREEK = {
    rf"\{name}" for part in (
        ("alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa"),
        ("lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "varphi", "chi", "psi", "omega", "ell"),
        ("Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega")) for name in part}


@dataclass(frozen=True)
class Match:
    """What a training problem matches. kind: `contaminated` or `same_template`; share: of the evaluation problem's n-grams
    (or, for a near-duplicate, the similarity)."""

    benchmark: str
    task_id: str
    kind: str
    share: float

    def __str__(self) -> str:
        return f"{self.benchmark} {self.task_id} ({self.share:.2f})"


def problems(name: str, file: str | None = None) -> list[tuple[str, str, str]]:
    """[(benchmark, task id, statement)] of a whole evaluation set, whatever part of it is evaluated: all of HumanEval+, all of
    LiveCodeBench's release. Raises ValueError where the set is missing: it is never skipped."""
    if name in ("humaneval_plus", "mbpp_plus"):
        found = {i: described(row["prompt"]) for i, row in evalplus_data.problems(name, file).items()}
    elif name == "livecodebench":
        found = _livecodebench(file)
    else:
        found = {t.task_id: t.prompt.removesuffix(BOXED) for t in benchmarks.load(name, file)}
    return [(name, i, text) for i, text in found.items()]


def described(prompt: str) -> str:
    """What a prompt of HumanEval+ or MBPP+ says in words: its docstring without examples, which would hide that the words
    alone are in a training problem."""
    text = (re.findall(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'', prompt, re.DOTALL) or [(prompt, "")])[-1]
    text = re.sub(r"^[ \t]*>>>.*\n(?:[ \t]*[^\s>].*\n)?", "", max(text, key=len), flags=re.MULTILINE)
    return re.sub(r"^[ \t]*assert .*$", "", text, flags=re.MULTILINE)


def _livecodebench(file: str | None) -> dict[str, str]:
    files, _ = sources.locate("livecodebench", file, livecodebench.HUB_ID, livecodebench.REVISION, livecodebench.FILES)
    found = {}
    for path in files:
        with open(path, "rb") as lines:
            rows = (json.loads(line) for line in lines if line.strip())
            found |= {row["question_id"]: row["question_content"] for row in rows}
    return found


class Masks(dict):
    """word → `v` for a variable, `#` for a number, else itself. Words come again and again, so each is judged once."""

    def __missing__(self, word: str) -> str:
        masked = "v" if (len(word) == 1 and word.isalpha()) or word in GREEK else "#" if word[0].isdigit() else word
        if len(self) < 2**20:  # memory stays flat, whatever the texts hold
            self[word] = masked
        return masked


MASKS = Masks()


def _masked(words: list[str]) -> list[str]:
    return [MASKS[w] for w in words]


def _ngrams(masked: list[str]) -> set[tuple[str, ...]]:
    return set(zip(*(masked[i:] for i in range(NGRAM)), strict=False))


class Evaluation:
    """The evaluation problems, ready to be asked for. Build it once a process; `match` takes a fraction of a millisecond."""

    def __init__(self, texts: list[tuple[str, str, str]]):
        """texts: [(benchmark, task id, statement)], from `problems`."""
        self.names, self.sizes, self.numbers, self.whole, self.holders = [], [], [], {}, {}
        self.similar = statements.NearDuplicates(SIMILAR)
        for benchmark, task_id, text in texts:
            words = statements.words(text)
            masked, i = _masked(words), len(self.names)
            grams = _ngrams(masked) if len(masked) >= SHORT else set()
            self.names.append((benchmark, task_id))
            self.sizes.append(len(grams))
            self.numbers.append(Counter(statements.numbers(words)))
            self.whole.setdefault(" ".join(masked), []).append(i)
            for gram in grams:
                self.holders.setdefault(gram, []).append(i)
            if grams:
                self.similar.first_like(str(i), statements.sketch(words), "")

    def match(self, words: list[str], sketch: bytes | None = None) -> Match | None:
        """What a training problem of these words matches best; contamination comes before the same template. sketch: the
        words' statements.sketch, where it is known."""
        masked = _masked(words)
        found = {i: 1.0 for i in self.whole.get(" ".join(masked), ())}
        hits: dict[int, int] = {}
        for gram in self.holders.keys() & _ngrams(masked):
            for i in self.holders[gram]:
                hits[i] = hits.get(i, 0) + 1
        for i, n in hits.items():
            if n >= SHARE * self.sizes[i]:
                found[i] = max(found.get(i, 0.0), n / self.sizes[i])
        if len(masked) >= SHORT and (near := self.similar.nearest(sketch or statements.sketch(words))):
            found.setdefault(int(near[0]), near[1])
        if not found:
            return None
        own, matches = Counter(statements.numbers(words)), []
        for i, share in found.items():
            asked = self.numbers[i]
            agreeing = (asked & own).total() >= NUMBERS * asked.total()
            matches.append(Match(*self.names[i], "contaminated" if agreeing else "same_template", round(share, 3)))
        return min(matches, key=lambda m: (m.kind, -m.share, m.benchmark, m.task_id))
