import random

import pytest

from distill_nb.traces import files, params, row_group, selection
from distill_nb.traces.decontamination import statements


def _row(i, text, problem=None, row=None, **other):
    words = statements.words(text)
    sketch = statements.sketch(words)
    return {
        "file": 0,
        "group": 0,
        "row": i if row is None else row,
        "id": f"r{i}",
        "reason": "",
        "detail": "",
        "problem_id": statements.id_of(words),
        "numbers": " ".join(statements.numbers(words)),
        "choice": 0,
        "characters": 100,
        "sketch": sketch,
        "bands": statements.bands_of([sketch])[0],
    } | other


def _parts(folder, rows, size=50):
    from pyarrow import parquet

    made = []
    for start in range(0, len(rows), size):
        made.append(folder / f"{start:05d}.parquet")
        parquet.write_table(files.table_of(rows[start : start + size], row_group.SCHEMA), made[-1])
    return made


@pytest.mark.parametrize("threshold", [0.5, 0.65, 0.8, 0.9])
def test_only_statements_that_share_a_band_are_compared_and_nothing_is_missed(threshold, tmp_path):
    rng, words = (
        random.Random(4),
        [f"w{i}".translate(str.maketrans("0123456789", "abcdefghij")) for i in range(200)],
    )
    texts = [rng.choices(words, k=80) for _ in range(120)]
    texts += [
        [w if rng.random() > share else rng.choice(words) for w in rng.choice(texts[:120])]
        for share in (0.01, 0.02, 0.05, 0.1, 0.2)
        for _ in range(25)
    ]
    rows = [_row(i, " ".join(text)) for i, text in enumerate(texts)]
    p = params.pocket(near_duplicate=threshold)
    chosen, verdicts = selection.select(p, _parts(tmp_path, rows))
    known, expected = statements.NearDuplicates(threshold), {}
    by_id = {r["problem_id"]: r for r in rows}
    for problem in sorted(by_id, key=lambda i: selection.rank(0, i)):
        expected[problem] = known.first_like(
            problem, by_id[problem]["sketch"], by_id[problem]["numbers"]
        )
    repeats = {i: f"{like[0]} ({like[1]:.2f})" for i, like in expected.items() if like}
    assert 10 < len(repeats) < 125
    assert {rows[at]["problem_id"]: text for at, text in verdicts.details.items()} == repeats
    assert [c.decode() for c in chosen["problem"]] == [i for i in expected if i not in repeats]


def test_the_first_traces_of_a_problem_are_taken_or_the_shortest(tmp_path):
    rows = [
        _row(i, f"problem {i % 3}", characters=100 - i, file=i // 6, row=i % 6) for i in range(12)
    ]
    rows[4] |= {"reason": "no_code"}
    parts = _parts(tmp_path, rows, 5)
    for pick, wanted in (
        ("first", {0: [0, 3], 1: [1, 7], 2: [2, 5]}),
        ("shortest", {0: [9, 6], 1: [10, 7], 2: [11, 8]}),
    ):
        chosen, verdicts = selection.select(params.pocket(pick=pick, per_problem=2), parts)
        order = sorted(range(3), key=lambda k: selection.rank(0, rows[k]["problem_id"]))
        assert chosen["at"].tolist() == [i for k in order for i in wanted[k]]
        assert [selection.REASONS[r] for r in verdicts.reasons] == [
            "" if i == 4 or i in wanted[i % 3] else "same_problem" for i in range(12)
        ]
        assert [(c["file"], c["row"]) for c in chosen] == [
            (c["at"] // 6, c["at"] % 6) for c in chosen
        ]


def test_a_source_without_a_good_row(tmp_path):
    chosen, verdicts = selection.select(
        params.pocket(), _parts(tmp_path, [_row(0, "a", reason="no_code")])
    )
    assert len(chosen) == 0 and verdicts.reasons.tolist() == [0]
    assert len(selection.select(params.pocket(), [])[0]) == 0
