"""Training problems that an evaluation set asks too: found whatever their layout, names of
variables, frame or samples.

A problem is compared with every problem of the evaluation sets by its words (statements.py) without
brackets, with each variable, that is each single letter or Greek one, read as the same word. It
asks the same if

- three fifths of the evaluation problem's 4-grams of words, with each number read as the same word,
  are in it (so a problem inside a longer statement is found; GPT-3's and later decontamination uses
  n-gram overlap in this way: Brown et al. 2020, arXiv 2005.14165, appendix C). A 4-gram that is in
  more than 2% of an evaluation set (`write a function to`) counts for less, in proportion, so that
  such a set's problems are not taken for each other; or
- it is a near-duplicate by MinHash; or
- both are brief and have the same content words (short_problems.py), or the same words altogether.

An evaluation problem of fewer than 8 words must be a whole statement but for its frame, or a whole
sentence of one: anything shorter would be found in half of all texts. The samples of programming
problems are left out on both sides (examples.py), and drawings of the evaluation problem may be
missing.

What asks the same is contaminated if its numbers are the same: none of the evaluation problem's
stands changed where the words around it are the same, and at least four fifths of them are there.
One changed number of twenty makes another problem with another answer, as training sets are full
of: it is of the same template, and is kept and counted (`same_template: keep`), or removed
(`remove`). A copy with a misprinted number is of the same template too. Numbers may be missing with
the words around them, as in a copy without its table; of programming problems any number of them,
for copies lack whole sentences. Numbers in words are read as digits.

Not found: a problem told in other words throughout, or in another language; one cut before it says
what is asked; one of fewer than 8 words as part of a sentence, or of fewer than 4 inside a longer
statement; and brief ones whose content words were replaced by others."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from distill_nb import benchmarks
from distill_nb.benchmarks import BOXED, evalplus_data, livecodebench, sources
from distill_nb.traces.decontamination import examples, masked, short_problems, statements
from distill_nb.traces.decontamination import words as latex_words
from distill_nb.traces.decontamination.examples import described, without_samples
from distill_nb.traces.decontamination.masked import NGRAM, Numbers, masked_words, ngrams, values
from distill_nb.traces.decontamination.words import without_figures

SHARE = 0.6  # of the evaluation problem's n-grams; at 0.5 some pairs of MATH-500's own problems match each other
SIMILAR = 0.6  # Jaccard similarity of pairs of words, for a near-duplicate
SHORT = 8  # words
COMMON = 0.02  # of an evaluation set's problems: an n-gram in more of them counts for less
FEW = 4  # problems of a set in which an n-gram may be, however small the set is
OTHER = 0.1  # of a brief evaluation problem's content words may be others: `minimum` for `maximum` makes another problem
# their copies lack sentences with numbers
CODE = ("humaneval_plus", "mbpp_plus", "livecodebench", "pocket_code")
BARE = 1000  # characters up to which a text without its samples is compared too; n-grams find a longer one beside samples
SENTENCE = re.compile(r"(?<=[.?!:])\s+|(?<=[.?!]\$)\s+|\n+")


@dataclass(frozen=True)
class Match:
    """What a training problem matches. kind: `contaminated` or `same_template`; share: of the
    evaluation problem's n-grams (or, for a near-duplicate, the similarity)."""

    benchmark: str
    task_id: str
    kind: str
    share: float

    def __str__(self) -> str:
        return f"{self.benchmark} {self.task_id} ({self.share:.2f})"


def problems(name: str, file: str | None = None) -> list[tuple[str, str, str]]:
    """[(benchmark, task id, statement)] of a whole evaluation set, whatever part of it is
    evaluated: all of HumanEval+, all of LiveCodeBench's release. Raises ValueError where the set is
    missing: it is never skipped."""
    if name in ("humaneval_plus", "mbpp_plus"):
        found = {
            i: described(row["prompt"]) for i, row in evalplus_data.problems(name, file).items()
        }
    elif name == "livecodebench":
        found = _livecodebench(file)
    else:
        found = {t.task_id: t.prompt.removesuffix(BOXED) for t in benchmarks.load(name, file)}
    return [(name, i, text) for i, text in found.items()]


def _livecodebench(file: str | None) -> dict[str, str]:
    files, _ = sources.locate(
        "livecodebench", file, livecodebench.HUB_ID, livecodebench.REVISION, livecodebench.FILES
    )
    found = {}
    for path in files:
        with open(path, "rb") as lines:
            rows = (json.loads(line) for line in lines if line.strip())
            found |= {row["question_id"]: row["question_content"] for row in rows}
    return found


def files() -> list[Path]:
    """The modules that decide what matches: whoever keeps matches keeps their hashes too."""
    return [
        Path(m.__file__) for m in (short_problems, latex_words, masked, examples, statements)
    ] + [Path(__file__)]


class Evaluation:
    """The evaluation problems, ready to be asked for. Build it once a process; `match` takes a
    fraction of a millisecond."""

    def __init__(self, texts: list[tuple[str, str, str]]):
        """texts: [(benchmark, task id, statement)], from `problems`."""
        self.names, self.words, self.sizes = [], [], []
        self.whole, self.briefs, self.holders, self.shorts = {}, {}, {}, {}
        self.similar = statements.NearDuplicates(SIMILAR)
        for benchmark, task_id, text in texts:
            text = without_samples(text)
            forms = [statements.words(text)]
            bare = statements.words(without_figures(text))
            if bare != forms[0] and len(bare) >= SHORT:
                forms.append(bare)
            self.names += [(benchmark, task_id)] * len(forms)
            self.words += forms
        self.content = [
            short_problems.content_of(words) if short_problems.key_of(words) else frozenset()
            for words in self.words
        ]
        masks = [masked_words(words) for words in self.words]
        grams = [set(ngrams(mask)) if len(mask) >= SHORT else set() for mask in masks]
        of_set = Counter(benchmark for benchmark, _ in self.names)
        common = Counter(
            (benchmark, gram)
            for (benchmark, _), found in zip(self.names, grams, strict=True)
            for gram in found
        )
        for i, (benchmark, _) in enumerate(self.names):
            limit, size = max(FEW, COMMON * of_set[benchmark]), 0.0
            for gram in grams[i]:
                weight = min(1.0, limit / common[benchmark, gram])
                self.holders.setdefault(gram, []).append((i, weight))
                size += weight
            self.sizes.append(size)
            self.whole.setdefault(" ".join(masks[i]), []).append(i)
            if key := short_problems.key_of(self.words[i]):
                self.briefs.setdefault(key[0], []).append((i, key[1]))
            if grams[i]:
                self.similar.add(str(i), statements.sketch(self.words[i]))
            elif first := ngrams(masks[i])[:1]:
                self.shorts.setdefault(first[0], []).append(i)

    def match(self, words: list[str], sketch: bytes | None = None, text: str = "") -> Match | None:
        """What a training problem matches best; contamination comes before the same template.
        words: of the whole statement; sketch: their statements.sketch, where it is known; text: the
        statement itself (without it, a short problem is not found beside samples or inside a longer
        statement)."""
        found = self._alike(words, sketch, text)
        if text and len(bare := without_samples(text)) < min(len(text), BARE):
            found += self._alike(statements.words(bare), None, bare)
        matches = [
            Match(
                *self.names[i],
                "contaminated" if same else "same_template",
                round(min(share, 1.0), 3),
            )
            for i, share, same in found
        ]
        return min(matches, key=lambda m: (m.kind, -m.share, m.benchmark, m.task_id), default=None)

    def _alike(
        self, words: list[str], sketch: bytes | None, text: str
    ) -> list[tuple[int, float, bool]]:
        """[(evaluation problem, share, whether the numbers are the same)] of those that ask the
        same."""
        mask, found = masked_words(words), []
        grams = set(ngrams(mask))
        found += self._equal(words, mask)
        if text and any(
            len(mask) > len(self.words[i])
            for gram in self.shorts.keys() & grams
            for i in self.shorts[gram]
        ):
            for sentence in SENTENCE.split(text):
                parts = statements.words(sentence)
                found += self._equal(parts, masked_words(parts)) if len(parts) >= NGRAM else []
        if (key := short_problems.key_of(words)) and key[0] in self.briefs:
            found += [(i, 1.0, key[1] == numbers) for i, numbers in self.briefs[key[0]]]
        decided = {i for i, *_ in found}
        hits: dict[int, float] = {}
        for gram in self.holders.keys() & grams:
            for i, weight in self.holders[gram]:
                hits[i] = hits.get(i, 0.0) + weight
        shares = {
            i: hit / self.sizes[i]
            for i, hit in hits.items()
            if hit >= SHARE * self.sizes[i] and i not in decided
        }
        if len(mask) >= SHORT:
            for name, similarity in self.similar.all_like(sketch or statements.sketch(words)):
                if int(name) not in decided:
                    shares.setdefault(int(name), similarity)
        if shares:
            numbers, content = Numbers(words), short_problems.content_of(words)
            found += [
                (i, share, numbers.agree_with(self.words[i], missing=self.names[i][0] in CODE))
                for i, share in shares.items()
                if len(self.content[i] - content) <= OTHER * len(self.content[i])
            ]
        return found

    def _equal(self, words: list[str], mask: list[str]) -> list[tuple[int, float, bool]]:
        """As `_alike`, of those with the same masked words."""
        return [
            (i, 1.0, values(words) == values(self.words[i]))
            for i in self.whole.get(" ".join(mask), ())
        ]
