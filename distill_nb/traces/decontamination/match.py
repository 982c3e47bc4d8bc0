"""Training problems that an evaluation set asks too: found whatever their layout, names of
variables, frame or examples.

A problem is compared with every problem of the evaluation sets by its words (forms.py) without
brackets. Each variable, that is each single letter or Greek one, is read as the same word. It asks
the same if

- three fifths of the evaluation problem's 4-grams of words are in it, with each number read as the
  same word. So a problem inside a longer statement is found. GPT-3's and later decontamination uses
  n-gram overlap in this way: Brown et al. 2020, arXiv 2005.14165, appendix C. A 4-gram that is in
  more than 2% of an evaluation set (`write a function to`) counts for less, in proportion, so that
  such a set's problems are not taken for each other; or
- it is a near-duplicate by MinHash; or
- both are short and have the same content words (short_problems.py), or the same words altogether;
  or
- a second look finds it reworded, shortened, or with other names or spelling (near.py).

An evaluation problem of fewer than 8 words must be a whole statement but for its frame, or a whole
sentence of one: anything shorter would be found in half of all texts. The examples in programming
problems are left out on both sides (examples.py), and drawings of the evaluation problem may be
missing.

What asks the same is contaminated if nothing that decides the answer was changed: no sign, no word
for its opposite (turned.py), no number, and of a programming task no object or operation
(tasks.py). No number of the evaluation problem stands changed
where the words around it are the same, and at least four fifths of its numbers are there. One
changed number of twenty makes another problem with another answer, and training sets are full of
such problems: it is of the same template, and is kept and counted (`same_template: keep`), or
removed (`remove`). A copy with a misprinted number is of the same template too. Numbers may be
missing with the words around them, as in a copy without its table; of programming problems any
number of them, for copies lack whole sentences. Numbers in words are read as digits.

Not found: a problem told in other words throughout, or in another language; one cut before it says
what is asked; a reworded one inside a longer statement; one of fewer than 8 words as part of a
sentence, or of fewer than 4 inside a longer statement. docs/decontamination.md has a table of what
is found, by kind."""

import re
from collections import Counter
from dataclasses import dataclass

from distill_nb.traces.decontamination import short_problems, statements
from distill_nb.traces.decontamination.examples import without_examples
from distill_nb.traces.decontamination.forms import compared, prepared, words_of
from distill_nb.traces.decontamination.masked import NGRAM, Numbers, masked_words, ngrams, values
from distill_nb.traces.decontamination.near import NearProblems
from distill_nb.traces.decontamination.tasks import (
    COMPARED,
    GENERIC,
    Task,
    asks_other,
    without_method,
)
from distill_nb.traces.decontamination.turned import Turns, turned
from distill_nb.traces.decontamination.words import without_figures

VERSION = "match-3"  # of the rule; new with every change to what is found
# Share of the evaluation problem's n-grams. At 0.5, some pairs of MATH-500's own problems match.
SHARE = 0.6
SIMILAR = 0.6  # Jaccard similarity of pairs of words, for a near-duplicate
FOR_NGRAMS = 8  # words that a statement must have to be compared by n-grams
COMMON = 0.02  # of an evaluation set's problems: an n-gram in more of them counts for less
FEW = 4  # problems of a set in which an n-gram may be, however small the set is
# Share of a short evaluation problem's content words that may be others: `minimum` for `maximum`
# makes another problem.
OTHER = 0.1
# Sets of programming problems, whose copies lack sentences with numbers.
CODE = frozenset(["humaneval_plus", "mbpp_plus", "livecodebench", "pocket_code"])
# Characters up to which a text without its examples is compared too; n-grams find a longer one.
BARE = 1000
ANY = GENERIC | {"every"}  # words that say nothing about a task
Statements = list[tuple[str, str, str]]  # [(benchmark, task id, statement)]
SENTENCE = re.compile(r"(?<=[.?!:])\s+|(?<=[.?!]\$)\s+|\n+")


@dataclass(frozen=True)
class Match:
    """kind: `contaminated` or `same_template`; share: of the evaluation problem's n-grams (of a
    near-duplicate or a reworded one, the similarity)."""

    benchmark: str
    task_id: str
    kind: str
    share: float

    def __str__(self) -> str:
        return f"{self.benchmark} {self.task_id} ({self.share:.2f})"


class EvaluationProblems:
    """The evaluation problems, ready to be compared with; `match` takes a fraction of a ms."""

    def __init__(self, texts: Statements, second_look: bool = True):
        """A problem with a drawing has two forms, with and without it. `names`, `words`, `content`
        and `sizes` have one entry per form; the indexes below hold the places of forms.
        second_look: whether near.py looks at what is found by nothing else."""
        self.names: list[tuple[str, str]] = []
        self.words: list[list[str]] = []
        kept: list[str] = []  # their texts
        for benchmark, task_id, text in texts:
            text = without_examples(text)
            forms = [words_of(text)]
            bare = words_of(without_figures(text))
            if bare != forms[0] and len(bare) >= FOR_NGRAMS:
                forms.append(bare)
            self.names += [(benchmark, task_id)] * len(forms)
            self.words += forms
            kept += [text] * len(forms)
        self.near = NearProblems(self.names, self.words, kept, CODE) if second_look else None
        self.turns = [Turns(words) for words in self.words]
        self.tasks = {  # place → a programming problem's task
            i: Task(without_method(words))
            for i, ((benchmark, _), words) in enumerate(zip(self.names, self.words, strict=True))
            if benchmark in CODE
        }
        self.known = frozenset().union(*(task.content for task in self.tasks.values()))
        keys = [short_problems.key_of(words) for words in self.words]
        self.content = [  # the content words of short ones
            short_problems.content_of(words) if key else frozenset()
            for words, key in zip(self.words, keys, strict=True)
        ]
        masks = [masked_words(words) for words in self.words]
        self.by_mask: dict[str, list[int]] = {}  # masked words, all
        # key of short ones → [(place, numbers)]
        self.by_content: dict[tuple, list[tuple[int, list[str]]]] = {}
        self.by_first_gram: dict[tuple, list[int]] = {}  # of those with too few words for n-grams
        self.similar = statements.NearDuplicates(SIMILAR)
        for i, (mask, key) in enumerate(zip(masks, keys, strict=True)):
            self.by_mask.setdefault(" ".join(mask), []).append(i)
            if key:
                self.by_content.setdefault(key[0], []).append((i, key[1]))
            if len(mask) >= FOR_NGRAMS:
                self.similar.add(str(i), statements.sketch(self.words[i]))
            elif first := ngrams(mask)[:1]:
                self.by_first_gram.setdefault(first[0], []).append(i)
        self._weigh_ngrams(masks)

    def _weigh_ngrams(self, masks: list[list[str]]) -> None:
        """by_gram: n-gram → [(place, weight)]; sizes: the sum of each problem's weights."""
        grams = [set(ngrams(mask)) if len(mask) >= FOR_NGRAMS else set() for mask in masks]
        problems = Counter(benchmark for benchmark, _ in self.names)
        common: Counter[tuple] = Counter()
        for (benchmark, _), own in zip(self.names, grams, strict=True):
            common.update((benchmark, gram) for gram in own)
        self.by_gram: dict[tuple, list[tuple[int, float]]] = {}
        self.sizes: list[float] = []
        for i, (benchmark, _) in enumerate(self.names):
            limit, size = max(FEW, COMMON * problems[benchmark]), 0.0
            for gram in grams[i]:
                weight = min(1.0, limit / common[benchmark, gram])
                self.by_gram.setdefault(gram, []).append((i, weight))
                size += weight
            self.sizes.append(size)

    def match(self, text: str, words: list[str] | None = None) -> Match | None:
        """What a training problem matches best; contamination comes before the same template.

        words: statements.words of the text, where the caller has them."""
        whole = prepared(text)
        words = compared(words if words and whole is text else statements.words(whole))
        found = self._alike(words, whole)
        if len(bare := without_examples(whole)) < min(len(whole), BARE):
            found += self._alike(compared(statements.words(bare)), bare)
        matches = []
        for i, share, same in found:
            kind = "contaminated" if same else "same_template"
            matches.append(Match(*self.names[i], kind, round(min(share, 1.0), 3)))
        return min(matches, key=lambda m: (m.kind, -m.share, m.benchmark, m.task_id), default=None)

    def _alike(self, words: list[str], text: str) -> list[tuple[int, float, bool]]:
        """[(evaluation problem, share, whether nothing in it was changed)] of what asks the same.

        text: what the words are of."""
        mask = masked_words(words)
        grams = set(ngrams(mask))
        found = self._equal(words, mask)
        if self._may_hold_a_short_one(mask, grams):
            for sentence in SENTENCE.split(text):
                parts = compared(statements.words(sentence))
                found += self._equal(parts, masked_words(parts)) if len(parts) >= NGRAM else []
        turns, numbers = Turns(words), Numbers(words)
        if key := short_problems.key_of(words):
            for i, asked in self.by_content.get(key[0], ()):
                same = key[1] == asked or (
                    sorted(key[1]) == sorted(asked) and numbers.agree_with(self.words[i], True)
                )
                found.append((i, 1.0, same and not turned(self.turns[i], turns)))
        shares = self._shares(grams)
        if len(mask) >= FOR_NGRAMS:
            for name, similarity in self.similar.all_like(statements.sketch(words)):
                shares.setdefault(int(name), similarity)
        decided = {i for i, *_ in found}
        left = {i: share for i, share in shares.items() if i not in decided}
        if left:
            content = short_problems.content_of(words)
            for i, share in left.items():
                if len(self.content[i] - content) <= OTHER * len(self.content[i]):
                    program = self.names[i][0] in CODE
                    same = numbers.agree_with(self.words[i], missing=program)
                    if program and asks_other(self.tasks[i], self._about(i, text), self.known):
                        same = False
                    found.append((i, share, same and not turned(self.turns[i], turns)))
        if self.near and not any(same for *_, same in found):
            known = {i for i, *_ in found}
            for i, share in self.near.like(words, text, known):
                found.append((i, share, numbers.agree_with(self.words[i], True)))
        return found

    def _equal(self, words: list[str], mask: list[str]) -> list[tuple[int, float, bool]]:
        """As `_alike`, of those with the same masked words."""
        same = self.by_mask.get(" ".join(mask), ())
        return [(i, 1.0, values(words) == values(self.words[i])) for i in same]

    def _about(self, i: int, text: str) -> Task:
        """The task in a text, of its sentences that have a telling word of an evaluation task,
        or two of any."""
        asked = self.tasks[i].content
        kept: list[str] = []
        for sentence in SENTENCE.split(text):
            words = compared(statements.words(sentence))
            shared = asked.intersection(map(short_problems.content_stem, words))
            if shared - ANY or len(shared) > 1 or COMPARED.intersection(words):
                kept += words
        return Task(without_method(kept))

    def _may_hold_a_short_one(self, mask: list[str], grams: set[tuple]) -> bool:
        """Whether the first n-gram of a shorter evaluation problem is here."""
        for gram in self.by_first_gram.keys() & grams:
            if any(len(mask) > len(self.words[i]) for i in self.by_first_gram[gram]):
                return True
        return False

    def _shares(self, grams: set[tuple]) -> dict[int, float]:
        """Evaluation problem → the share of its n-grams that is here, from SHARE on."""
        hits: dict[int, float] = {}
        for gram in self.by_gram.keys() & grams:
            for i, weight in self.by_gram[gram]:
                hits[i] = hits.get(i, 0.0) + weight
        return {i: hit / self.sizes[i] for i, hit in hits.items() if hit >= SHARE * self.sizes[i]}
