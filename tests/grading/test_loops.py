"""Loops: found in made and real answers; honest long answers are none."""

import json
import random

import pytest

from distill_nb.grading import loops

WORDS = [
    "the", "of", "and", "to", "in", "is", "that", "it", "was", "for", "on", "as", "with", "his",
    "they", "at", "be", "this", "from", "have", "or", "by", "one", "had", "not", "but", "what",
    "all", "were", "when", "we", "there", "can", "an", "your", "which", "their", "said", "if",
    "do", "will", "each", "about", "how", "up", "out", "them", "then", "she", "many", "some",
]  # fmt: skip
rng = random.Random(0)


def words(n):
    return " ".join(rng.choice(WORDS) for _ in range(n)) + ". "


BEFORE = words(600)
WAIT = "Wait, let me check the case n = {} once more, since I may have made a mistake in it. "
BUTTON = "self.button_{0} = Button(self, row={0}, column=0)\n"
LOOPS = {  # text → the tokens in one round
    "a sentence": ("So the answer must be checked again. " * 80, 15),
    "a word": ("no " * 400, 2),
    "a long paragraph": (words(300) * 6, 601),
    "a formula": (r" = \frac{1062882}{16777216}" * 60, 24),
    "a loop that counts on": ("".join(WAIT.format(i) for i in range(90, 200)), 45),
}
HONEST = {
    "a list of squares": "".join(f"{i}^2 = {i * i}\n" for i in range(1, 300)),
    "a table": "".join(f"| {i} | {i**2} | {rng.choice(WORDS)} |\n" for i in range(150)),
    "residues": "".join(f"3^{i} mod 7 = {pow(3, i, 7)}\n" for i in range(150)),
    "numbers": ", ".join(map(str, range(400))),
    "cases of code": "".join(
        f"    if x == {i}:\n        return '{rng.choice(WORDS)}'\n" for i in range(150)
    ),
    "a few equal lines": words(50) + "x = 0\n" * 40,
    "sixty zeros": "[" + "0, " * 60 + "0]",
    "one paragraph twice": words(500) * 2,
}


def pieces(text):
    numbers = {}
    return [numbers.setdefault(piece, len(numbers)) for piece in loops.PIECE.findall(text)]


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_found_with_its_period_and_length(name):
    text, period = LOOPS[name]
    found = loops.find_in_text(BEFORE + text)
    assert found.period == period
    # followed back to where it begins, but for what tolerance adds or a changed number takes
    assert found.tokens == pytest.approx(len(pieces(text)), rel=0.12)
    assert loops.find_in_text(BEFORE + text + words(120)) is None  # it came to an end


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_long_answer_is_no_loop_wherever_it_is_cut(name):
    tokens = pieces(BEFORE + HONEST[name])
    for end in range(len(pieces(BEFORE)), len(tokens) + 1, 50):
        assert loops.find(tokens[:end]) is None and loops.copies(tokens[:end]) == 0


def test_what_the_rule_says_otherwise_than_a_person_might():
    counted = "".join(BUTTON.format(i) for i in range(100))
    assert loops.find_in_text(BEFORE + counted).period == 25
    again = ["Wait, ", "Hmm, ", "But ", "Actually, "]
    check = ["let me check", "I should verify", "we need to see"]
    retold = "".join(
        f"{rng.choice(again)}{rng.choice(check)} {rng.choice(['this', 'that step', 'it'])} again. "
        for _ in range(200)
    )
    assert loops.find_in_text(BEFORE + retold) is None


@pytest.mark.parametrize("block", [1, 3, 63, 64, 100, 256])
def test_exact_copies_are_found_at_the_token_that_completes_them(block):
    tokens = list(range(1000, 1500)) + [i % block for i in range(2000)]
    first = next(n for n in range(len(tokens)) if loops.copies(tokens[:n]))
    multiple = block * -(-loops.SHORTEST // block)
    assert first == 500 + 4 * multiple and loops.copies(tokens[:first]) == multiple
    found = loops.find(tokens[:first])  # what stops an answer also names it
    assert found.tokens == 4 * multiple and multiple % found.period == 0
    assert loops.copies([*tokens, -1]) == 0
    longer = list(range(500)) + [i % 257 for i in range(2000)]
    assert loops.copies(longer) == 0 and loops.find(longer).period == 257


def test_only_an_answer_that_the_limit_or_the_loop_ended_can_loop():
    tokens = list(range(500)) + [7] * 300
    assert loops.tokens_in_loop("length", tokens) == loops.tokens_in_loop("loop", tokens) == 300
    assert loops.tokens_in_loop("stop", tokens) == loops.tokens_in_loop("length", [1, 2]) == 0
    assert loops.ending("length", tokens) == "loop" and loops.ending("stop", tokens) == "stop"
    assert loops.ending_of_text("length", BEFORE + "no " * 400) == "loop"
    assert loops.ending_of_text("length", BEFORE) == "length"
    assert loops.ending_of_text("stop", BEFORE + "no " * 400) == "stop"


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from strings(v)
    elif isinstance(value, list):
        for v in value:
            yield from strings(v)


def test_of_real_long_answers_only_those_that_loop_are_taken_for_loops(data_dir):
    found, answers = set(), 0
    for file in sorted([*data_dir.glob("traces/**/*.json*"), *data_dir.glob("graded/**/*.json*")]):
        text = file.read_text(encoding="utf-8")
        rows = [json.loads(x) for x in text.splitlines()] if file.suffix == ".jsonl" else [text]
        rows = rows if file.suffix == ".jsonl" else json.loads(text)
        for answer in strings(rows):
            tokens = pieces(answer) if len(answer) > 2000 else []
            answers += bool(tokens)
            for end in {len(tokens) // 2, len(tokens)}:
                if tokens and loops.find(tokens[:end]):
                    found.add((file.stem, answer[:40], len(tokens)))
    assert answers > 300
    kinds = sorted((name, size > 10_000) for name, _, size in found)
    qwen, sonnet = "math500_qwen2.5-14b-instruct", "sonnet4__code__codeio"
    # Read by a person: every one loops. The short one gave up after seven rounds and boxed a
    # number, so that it is no answer of the outcome `looping`.
    assert kinds == [(qwen, False), *[(qwen, True)] * 3, *[(sonnet, True)] * 3]
