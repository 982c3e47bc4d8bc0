"""Answers that loop end early in both engines, at the same token; others are as they were."""

from dataclasses import replace

import torch
from helpers import needs_vllm, tiny

from distill_nb.evaluation.engines import start
from distill_nb.evaluation.engines.loop_stop import LoopStop
from distill_nb.evaluation.engines.types import Request
from distill_nb.grading import loops

LIMIT = 1200
PROMPTS = [[1, 2, 3], [4, 5], [6, 7, 8, 9, 10], [11]]


def test_rows_end_where_their_copies_are_complete_and_the_prompt_is_none_of_them():
    honest = list(range(100, 1100))
    rows = [
        [i % 5 for i in range(1000)],
        honest[:300] + [i % 100 for i in range(700)],
        honest,
        honest[:50] + [3] * 950,
    ]
    prompt = 200
    stop = LoopStop(len(rows), prompt, 700)
    ids = torch.tensor(rows)
    for n in range(prompt + 1, 1001):
        done = stop(ids[:, :n], None)
    expected = [
        next((n for n in range(1, 700) if loops.copies(row[prompt : prompt + n])), 0)
        for row in rows
    ]
    assert stop.ends == expected == [4 * 65, 100 + 400, 0, 4 * 64]
    assert done.tolist() == [True, True, False, True]


def test_the_limit_comes_before_the_loop():
    stop = LoopStop(1, 0, 256)
    for n in range(1, 257):
        stop(torch.full((1, n), 7), None)
    assert stop.ends == [0] and loops.copies([7] * 256) == 64


def answers(p, **changes):
    """{number: answer} of the base student."""
    p = replace(p, max_new_tokens=LIMIT, eval_batch_size=3, **changes)
    with start.start(p, {}, PROMPTS, []) as engine:
        next(engine.serve([]))
        requests = [Request(i, 0, ids, 0) for i, ids in enumerate(PROMPTS)]
        return {a.number: a for batch in engine.answers(requests) for a in batch}


def assert_cut(free, cut):
    """Those that loop are cut at the first token where they do, the others are the same."""
    looped = 0
    for number, whole in free.items():
        first = next((n for n in range(1, LIMIT) if loops.copies(whole.tokens[:n])), 0)
        looped += first > 0
        assert cut[number].tokens == whole.tokens[: first or None], number
        assert cut[number].finish_reason == ("loop" if first else whole.finish_reason)
        assert whole.text.startswith(cut[number].text)
    assert looped > 0  # a random student that takes the likeliest token each time


def test_transformers_stops_on_a_loop(runs_dir):
    p = tiny()
    assert_cut(answers(p), answers(p, stop_on_loop=True))


@needs_vllm
def test_vllm_stops_on_a_loop_at_the_same_token(runs_dir):
    p = tiny(engine="vllm")
    free, cut = answers(replace(p, engine="hf")), answers(p, stop_on_loop=True)
    assert_cut(free, cut)
