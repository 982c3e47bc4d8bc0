"""Whether a programming task is another one than the task that it is alike to: small tasks of one
family differ by a single word, as `count the even numbers` and `remove the even numbers` do.

Another wording of a task is seldom longer than the evaluation set's own, so what a training problem
adds to it decides: a word that the evaluation sets have for other tasks names another object or
operation (`string`, `square`, `remove`), and a number is another number. A word that no evaluation
set has is another way of saying the same. What a training problem lacks is an explanation, unless
it is the operation (ACTIONS), or another object stands for it. To count is not to list, and to
check is not to make."""

import re
from collections import Counter

from distill_nb.traces.decontamination.masked import values
from distill_nb.traces.decontamination.short_problems import LONGEST, content_stem, unframed
from distill_nb.traces.decontamination.statements import SIGNS

# How it is to be done is not what is asked.
METHOD = re.compile(
    r"(?: by| with| and| the| with the help of)* using (?:the |a |an )*(?:python |map |lambda |"
    r"regex|regular expression|heap |list comprehension|itertools|recursion|recursive|bitwise |"
    r"sequential |collections?|enumerate|filter |reduce |numpy|built|loops?|[a-z]+ sort\b)[a-z ]*$"
)
# Words that any task may have, whatever it asks.
_GENERIC = """
    number numeric integer int element item value count have has contain include between over
    iterate next convert divide total only but so that whose using use help result another within
    than same type user passed provided built
    match specific specified mixed expression character position add
    having not no non without except
    duplicate repeat repeated duplicated satisfy fulfil owns say
"""
GENERIC = frozenset(map(content_stem, _GENERIC.split()))
# What is done, or the relation that is asked about: never left out of a copy.
_ACTIONS = """
    remove replace common divisible reverse swap rotate merge convert frequency adjacent prime even
    odd uneven distinct position
"""
ACTIONS = frozenset(map(content_stem, _ACTIONS.split()))
# Always of another task where they are new, whatever the evaluation sets have.
_NEW = """
    even odd prime composite perfect root square cube factorial power first second third last
    alternate distinct unique adjacent consecutive
"""
NEW = frozenset(map(content_stem, _NEW.split()))
_OBJECTS = "string list tuple dictionary set character digit word matrix"
OBJECTS = frozenset(map(content_stem, _OBJECTS.split()))
COMPARED = frozenset(["<", ">"])
COUNTED = frozenset(["count", "frequency", "counts", "counting"])
CHECKED = frozenset(["check", "whether", "checks"])
YES_OR_NO = CHECKED | {"true", "if", "tell", "tells", "test"}


def without_method(words: list[str]) -> list[str]:
    """A statement's words without the frame, and without how it is to be done."""
    joined = unframed(METHOD.sub("", " ".join(w for w in words if w not in SIGNS)))
    return joined.removesuffix(" or not").removesuffix(" or odd").split() or words


class Task:
    """What a programming task does, and on what."""

    def __init__(self, words: list[str]):
        """words: `without_method`."""
        self.words = len(words)
        self.numbers = Counter(v for v in values(words) if v != "1")
        counts = Counter(stem for w in words if (stem := content_stem(w)))
        self.content = frozenset(counts)
        self.repeated = frozenset(w for w, n in counts.items() if n > 1) - GENERIC
        self.signs = COMPARED.intersection(words)
        joined = f" {' '.join(words)} "
        self.counts = bool(COUNTED & set(words)) or " number of " in joined
        self.checks = bool(CHECKED & set(words))
        self.may_check = bool(YES_OR_NO & set(words))
        self.objects = Counter({w: n for w, n in counts.items() if w in OBJECTS})


def another_task(
    asked: Task, here: Task, left: frozenset[str], added: frozenset[str], known: frozenset[str]
) -> bool:
    """Whether a short training problem (`here`) is another task than the evaluation problem.

    left: content words of the evaluation problem that are not here; added: the reverse; known: the
    content words of all programming tasks of the evaluation sets."""
    if (added & known) - GENERIC or added & NEW or left & ACTIONS:
        return True
    if here.counts != asked.counts and (here.counts or asked.words <= LONGEST):
        return True
    if here.checks and not asked.may_check:
        return True
    return bool(left & OBJECTS and here.objects - asked.objects)


def asks_other(asked: Task, here: Task, known: frozenset[str]) -> bool:
    """Whether a statement that holds most words of an evaluation problem asks something else: of
    another thing, named twice in either; of other signs; or, if it is short, more."""
    if asked.repeated - here.content and here.repeated - asked.content:
        return True
    if here.content == asked.content and here.signs != asked.signs:
        return True
    if here.words > LONGEST:
        return False
    added = here.content - asked.content
    return bool(here.numbers - asked.numbers) or another_task(
        asked, here, frozenset(), added, known
    )
