"""Training problems that an evaluation set asks too: found whatever their layout, names of variables, frame or samples.

A problem is compared with every problem of the evaluation sets by its words (statements.py) without brackets, with each
variable, that is each single letter or Greek one, read as the same word. It asks the same if

- three fifths of the evaluation problem's 4-grams of words, with each number read as the same word, are in it (so a problem
  inside a longer statement is found; GPT-3's and later decontamination uses n-gram overlap in this way: Brown et al. 2020,
  arXiv 2005.14165, appendix C). A 4-gram that is in more than 2% of an evaluation set (`write a function to`) counts for less,
  in proportion, so that such a set's problems are not taken for each other; or
- it is a near-duplicate by MinHash; or
- both are brief and have the same content words (brief.py), or the same words altogether.

An evaluation problem of fewer than 8 words must be the whole statement but for a frame: anything shorter would be found in half
of all texts. The samples of programming problems are left out on both sides (samples.py).

What asks the same is contaminated if its numbers are the same: at least four fifths of the evaluation problem's numbers are
there, and none stands changed where the words around it are the same. One changed number of twenty makes another problem with
another answer, as training sets are full of: it is of the same template, and is kept and counted (`same_template: keep`), or
removed (`remove`). A copy with a misprinted number is therefore of the same template too. A number that is missing, as in a
copy without its table, changes nothing; neither do numbers in words, which are read as digits.
"""
from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from . import benchmarks, brief, statements
from .benchmarks import BOXED, evalplus_data, livecodebench, sources
from .samples import described, without_samples

NGRAM = 4
SHARE = 0.6     # of the evaluation problem's n-grams; at 0.5 some pairs of MATH-500's own problems match each other
NUMBERS = 0.8   # of its numbers; a 1 is not counted, which copies write as `a`
COMMON = 0.02   # of an evaluation set's problems: an n-gram in more of them counts for less
FEW = 4         # problems of a set in which an n-gram may be, however small the set is
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


def _livecodebench(file: str | None) -> dict[str, str]:
    files, _ = sources.locate("livecodebench", file, livecodebench.HUB_ID, livecodebench.REVISION, livecodebench.FILES)
    found = {}
    for path in files:
        with open(path, "rb") as lines:
            rows = (json.loads(line) for line in lines if line.strip())
            found |= {row["question_id"]: row["question_content"] for row in rows}
    return found


class Masks(dict):
    """word → `v` for a variable, `#` for a number, "" for a bracket and the like, else itself. Words come again and again, so
    each is judged once."""

    def __missing__(self, word: str) -> str:
        masked = ("" if word in statements.SIGNS else "v" if (len(word) == 1 and word.isalpha()) or word in GREEK else
                  "#" if word[0].isdigit() else word)
        if len(self) < 2**20:  # memory stays flat, whatever the texts hold
            self[word] = masked
        return masked


MASKS = Masks()


def _masked(words: list[str]) -> list[str]:
    return [masked for w in words if (masked := MASKS[w])]


def _with_numbers(words: list[str]) -> list[str]:
    """Words masked but for their numbers."""
    return [w if masked == "#" else masked for w in words if (masked := MASKS[w])]


def _ngrams(masked: list[str]) -> list[tuple[str, ...]]:
    return list(zip(*(masked[i:] for i in range(NGRAM)), strict=False))


def _values(words: list[str]) -> list[str]:
    """The numbers among words, in order."""
    return [w for w in words if w[0].isdigit()]


def _counts(words: list[str]) -> Counter:
    return Counter(w for w in words if w[0].isdigit() and w != "1")


class Evaluation:
    """The evaluation problems, ready to be asked for. Build it once a process; `match` takes a fraction of a millisecond."""

    def __init__(self, texts: list[tuple[str, str, str]]):
        """texts: [(benchmark, task id, statement)], from `problems`."""
        self.names = [(benchmark, task_id) for benchmark, task_id, _ in texts]
        self.words = [statements.words(without_samples(text)) for *_, text in texts]
        self.sizes, self.whole, self.briefs, self.holders = [], {}, {}, {}
        self.similar = statements.NearDuplicates(SIMILAR)
        of_set = Counter(benchmark for benchmark, _ in self.names)
        masked = [_masked(words) for words in self.words]
        grams = [set(_ngrams(m)) if len(m) >= SHORT else set() for m in masked]
        common = Counter((benchmark, gram) for (benchmark, _), found in zip(self.names, grams, strict=True) for gram in found)
        for i, (benchmark, _) in enumerate(self.names):
            limit, size = max(FEW, COMMON * of_set[benchmark]), 0.0
            for gram in grams[i]:
                weight = min(1.0, limit / common[benchmark, gram])
                self.holders.setdefault(gram, []).append((i, weight))
                size += weight
            self.sizes.append(size)
            self.whole.setdefault(" ".join(masked[i]), []).append(i)
            if key := brief.key_of(self.words[i]):
                self.briefs.setdefault(key[0], []).append((i, key[1]))
            if grams[i]:
                self.similar.add(str(i), statements.sketch(self.words[i]))

    def match(self, words: list[str], sketch: bytes | None = None, text: str = "") -> Match | None:
        """What a training problem matches best; contamination comes before the same template. words: of the whole statement;
        sketch: their statements.sketch, where it is known; text: the statement itself, from which its samples are left out
        (without it, a brief problem with samples is missed)."""
        found = self._alike(words, sketch)
        if text and (bare := without_samples(text)) != text:
            found += self._alike(statements.words(bare))
        matches = [Match(*self.names[i], "contaminated" if same else "same_template", round(min(share, 1.0), 3))
                   for i, share, same in found]
        return min(matches, key=lambda m: (m.kind, -m.share, m.benchmark, m.task_id), default=None)

    def _alike(self, words: list[str], sketch: bytes | None = None) -> list[tuple[int, float, bool]]:
        """[(evaluation problem, share, whether the numbers are the same)] of those that ask the same."""
        masked, values = _masked(words), _values(words)
        found = [(i, 1.0, values == _values(self.words[i])) for i in self.whole.get(" ".join(masked), ())]
        if (key := brief.key_of(words)) and key[0] in self.briefs:
            found += [(i, 1.0, key[1] == numbers) for i, numbers in self.briefs[key[0]]]
        hits: dict[int, float] = {}
        for gram in self.holders.keys() & set(_ngrams(masked)):
            for i, weight in self.holders[gram]:
                hits[i] = hits.get(i, 0.0) + weight
        shares = {i: hit / self.sizes[i] for i, hit in hits.items() if hit >= SHARE * self.sizes[i]}
        if len(masked) >= SHORT:
            for name, similarity in self.similar.all_like(sketch or statements.sketch(words)):
                shares.setdefault(int(name), similarity)
        if shares:
            own = _Numbers(words)
            found += [(i, share, own.agree_with(self.words[i])) for i, share in shares.items()]
        return found


class _Numbers:
    """The numbers of a training problem, and the words in which they stand."""

    def __init__(self, words: list[str]):
        self.counts, self.masked, self.exact = _counts(words), set(_ngrams(_masked(words))), set(_ngrams(_with_numbers(words)))

    def agree_with(self, asked: list[str]) -> bool:
        """Whether four fifths of an evaluation problem's numbers are among these, and none stands changed in the same words:
        of the n-grams around it at least two are here, none of them with this number."""
        wanted = _counts(asked)
        if (wanted & self.counts).total() < NUMBERS * wanted.total():
            return False
        masked = _masked(asked)
        windows = list(zip(_ngrams(masked), _ngrams(_with_numbers(asked)), strict=True))
        for place, word in enumerate(masked):
            if word == "#":
                around = [exact for m, exact in windows[max(0, place - NGRAM + 1):place + 1] if m in self.masked]
                if len(around) >= 2 and self.exact.isdisjoint(around):
                    return False
        return True
