"""The GRIM test, and the write-up's sentences against its tables (claims.py)."""

import re
from fractions import Fraction

import pytest

from distill_nb.analysis import names
from distill_nb.analysis.published import accuracies, claims, grim

QWEN, INSTRUCT = names.NAMES["Qwen Base"], names.NAMES["Qwen Instruct"]
LLAMA = names.NAMES["Llama 8B"]


@pytest.fixture(scope="module")
def table():
    return accuracies.load_published()


@pytest.fixture(scope="module")
def said():
    return claims.load_claims()


@pytest.fixture(scope="module")
def checked(said, table):
    return claims.check_claims(said, table).set_index("id")


def change(table, accuracy, **cell):
    """The table with one number changed; the cell must be there."""
    chosen = (table[list(cell)] == list(cell.values())).all(axis=1)
    assert chosen.sum() == 1
    return table.assign(accuracy=table["accuracy"].mask(chosen, accuracy))


def verdicts(said, table):
    return claims.check_claims(said, table).set_index("id")["verdict"]


# ---- numbers


def test_possible_k_against_published_values():
    """Brown & Heathers' example: no 28 whole numbers have the mean 5.19, and so none the share 0.19
    of 28."""
    assert grim.possible_k(19, 0, 28) == [] and grim.possible_k(18, 0, 28) == [5]
    assert grim.possible_k(78.7, 1, 100) == [] and grim.possible_k(78.7, 1, 164) == [129]
    assert grim.possible_k(80.6, 1, 500) == [403] and grim.possible_k(58, 0, 378) == [
        218,
        219,
        220,
        221,
    ]
    assert grim.possible_k(0, 0, 500) == [0, 1, 2] and grim.possible_k(100, 0, 30) == [30]


def test_possible_k_is_what_rounding_gives():
    """Against exact rounding of every k of n; ties are where the two rules differ."""
    for n, decimals in [(8, 0), (16, 1), (40, 0), (400, 1), (164, 1), (200, 0)]:
        for k in range(n + 1):
            scaled = Fraction(100 * k, n) * 10**decimals
            even, up = round(scaled), int(scaled + Fraction(1, 2))  # Fraction rounds half to even
            for rule, value in (("half_even", even), ("half_up", up)):
                assert k in grim.possible_k(value / 10**decimals, decimals, n, rule)
                assert k in grim.possible_k(value / 10**decimals, decimals, n, "either")
            if even != up:
                assert k not in grim.possible_k(up / 10**decimals, decimals, n, "half_even")
                assert k not in grim.possible_k(even / 10**decimals, decimals, n, "half_up")


def test_what_could_fail_at_all():
    assert not grim.can_fail(0, 100) and not grim.can_fail(0, 500) and grim.can_fail(0, 99)
    assert grim.can_fail(1, 500) and not grim.can_fail(1, 1000)


def test_grim_finds_the_one_impossible_number(table, said):
    stated = claims.stated_sizes(said)
    assert stated == dict(math500=500, mbpp_plus=378, humaneval_plus=100, livecodebench=100)
    assert grim.check(table)["consistent"].all()  # the table has the n that is possible
    tested = grim.check(table, stated)
    failed = tested[~tested["consistent"]]
    assert len(tested) == 129 and tested["can_fail"].sum() == 28
    assert failed[["student", "step", "benchmark", "accuracy"]].to_numpy().tolist() == [
        [QWEN, 0, "humaneval_plus", 78.7]
    ]
    assert failed["implied"].iloc[0] == ["129/164"]
    summary = grim.summary(table, stated)
    assert (summary["cells"].sum(), summary["can_fail"].sum(), summary["failed"].sum()) == (
        129,
        28,
        1,
    )


def test_grim_catches_a_planted_mistake(table):
    # 500 problems give even tenths only
    wrong = change(table, 80.7, student=QWEN, step=0, benchmark="math500")
    assert grim.summary(wrong)["failed"].sum() == 1


# ---- sentences


def test_every_claim_has_its_verdict(said, table):
    """All that the write-up says and its numbers do not; whatever is not named here agrees."""
    found = verdicts(said, table)
    assert found[found != "agrees"].to_dict() == {
        "size_humaneval_plus": "disagrees",
        "listed_humaneval_plus": "caveat",
        "listed_livecodebench": "caveat",
        "listed_aime": "not reported",
        "degraded_400": "caveat",
        "best_base_runs": "caveat",
        "best_base_code_step": "caveat",
        "best_instruct_math_humaneval_plus": "caveat",
        "best_instruct_math_livecodebench": "caveat",
        "f1_teachers": "caveat",
        "f2_less": "disagrees",
        "f3_robust": "caveat",
        "f4_free": "caveat",
        "f5_zero": "disagrees",
        "f6_math": "caveat",
        "f6_code": "caveat",
    }
    assert len(found) == 59
    assert set(claims.inconsistencies(said, table)["id"]) == set(found[found != "agrees"].index)


@pytest.mark.parametrize(
    ("id", "says", "numbers"),
    [
        (
            "size_humaneval_plus",
            "has 100 problems",
            "78.7% (Qwen Base baseline) is no k of 100, but 129/164, while 91.0% is no k",
        ),
        ("f5_zero", "0% at every checkpoint", "1 of 5 checkpoints differ: 1% at step 400."),
        ("f1_r1_math", "after R1 math: 72%", "is 72% (Qwen Base R1 math, step 200)"),
        (
            "best_instruct_math_humaneval_plus",
            "row of step 200: HumanEval+ 70%*, by the footnote that of the final checkpoint",
            "Qwen Instruct Sonnet math step 500: HumanEval+ 70%. The row is otherwise step 200's, "
            "whose HumanEval+ is 60%*.",
        ),
        (
            "f4_free",
            "costs nothing",
            "2 of 4 numbers are below the baseline, 0 of them beyond noise (Holm): HumanEval+ -5.0",
        ),
        (
            "f6_math",
            "little or nothing",
            "1 of 10 gains over the baseline are beyond noise (Holm), 0 shown to be above 5 "
            "points; the most is Llama 8B Sonnet math step 500: 40% → 50%, +10.0 points [+3.8, ",
        ),
        (
            "f6_code",
            "marginally",
            "Llama 8B Sonnet code step 400: 46% → 58%, +12.0 points [+4.9, +19.0]",
        ),
        ("f2_less", "less math", "Llama 8B Sonnet: code +7.0, math -39.0"),
        ("f3_robust", "loses less", "step 100 -29.9 against -10.7"),
        ("f1_teachers", "much better", "the learning rates differ too: R1 2e-5, Sonnet 2e-4"),
        ("best_base_runs", "best checkpoints", "R1 math (best step 200: MATH-500 72%)"),
        ("best_base_code_step", "step 200", "step 300 has the same printed score"),
        ("listed_aime", "AIME", "No table has a number of AIME."),
        ("degraded_400", "step 400", "2 of 4 such numbers carry the asterisk; not MATH-500 87.4%"),
        (
            "listed_humaneval_plus",
            "HumanEval+",
            "15 of 53 baselines and checkpoints have a number; none: Qwen Base R1 math",
        ),
    ],
)
def test_what_it_says_and_what_its_numbers_say(checked, id, says, numbers):
    row = checked.loc[id]
    assert says in row["says"] and numbers in row["numbers"]


@pytest.mark.parametrize(
    ("cell", "accuracy", "caught"),
    [
        (dict(student=QWEN, step=0, benchmark="math500"), 80.8, {"best_base_base_math500"}),
        (
            dict(student=QWEN, teacher="sonnet", domain="math", step=300, benchmark="mbpp_plus"),
            75,
            {"best_base_math_mbpp_plus", "f2_to"},
        ),
        (
            dict(student=QWEN, teacher="sonnet", domain="math", step=100, benchmark="math500"),
            89,
            {"best_base_math_step", "f1_sonnet"},
        ),
        (
            dict(student=QWEN, teacher="r1", domain="math", step=200, benchmark="math500"),
            27,
            {"f1_r1_math"},
        ),
        (
            dict(student=INSTRUCT, domain="code", step=500, benchmark="livecodebench"),
            42,
            {"best_instruct_code_livecodebench", "f4_livecodebench"},
        ),
    ],
)
def test_a_planted_mistake_is_caught(said, table, checked, cell, accuracy, caught):
    """What agreed no longer does, and only what rests on the changed number."""
    wrong = change(table, accuracy, **cell)
    before, after = checked["verdict"], verdicts(said, wrong)
    broken = set(after[(before == "agrees") & (after != "agrees")].index)
    assert caught <= broken and len(broken) <= len(caught) + 2


def test_a_lost_asterisk_is_caught(said, table):
    plain = table.assign(flagged=False)
    assert verdicts(said, plain)["degraded_200_he"] == "caveat"
    flagged = table.assign(flagged=table["flagged"] | (table["step"] == 300))
    assert verdicts(said, flagged)["best_base_math_math500"] == "disagrees"


def test_one_gain_of_ten_may_be_chance(said, table):
    """46% → 53% on 378 problems has an interval above 0 (+0.2 to +13.9), which one of ten
    differences may well have."""
    llama = (table["student"] == LLAMA) & (table["benchmark"] == "mbpp_plus")
    flat = table.assign(
        accuracy=table["accuracy"]
        .mask(llama, 46)
        .mask(
            llama
            & (table["step"] == 400)
            & (table["teacher"] == "sonnet")
            & (table["domain"] == "code"),
            53.2,
        )
    )
    row = claims.check_claims(said, flat).set_index("id").loc["f6_code"]
    assert (row["verdict"], row["numbers"]) == (
        "agrees",
        "0 of 10 gains over the baseline are beyond noise (Holm).",
    )


def test_large_gains_and_losses_disagree(said, table):
    """A gain shown to be above the margin, and a loss beyond noise."""
    llama = (table["student"] == LLAMA) & (table["teacher"] == "sonnet")
    rich = table.assign(accuracy=table["accuracy"].mask(llama & (table["domain"] == "math"), 70))
    assert verdicts(said, rich)["f6_math"] == "disagrees"
    run = dict(student=INSTRUCT, teacher="sonnet", domain="code", step=500)
    poor = change(table, 60, **run, benchmark="humaneval_plus")
    assert verdicts(said, poor)["f4_free"] == "disagrees"
    fine = change(
        change(table, 91, **run, benchmark="humaneval_plus"), 27, **run, benchmark="livecodebench"
    )
    assert verdicts(said, fine)["f4_free"] == "agrees"


def test_sentences_follow_the_numbers(said, table):
    """With the numbers that the write-up would need, it agrees with itself."""
    fixed = change(
        table, 0, student=LLAMA, teacher="sonnet", domain="code", step=400, benchmark="math500"
    )
    fixed = fixed.assign(
        accuracy=fixed["accuracy"].mask(
            (fixed["student"] == LLAMA) & (fixed["step"] > 0) & (fixed["accuracy"] > 40), 41
        )
    )
    fixed = fixed.assign(learning_rate=2e-4)
    found = verdicts(said, fixed)
    assert found[["f5_zero", "f6_math", "f6_code", "f1_teachers"]].tolist() == ["agrees"] * 4


def test_a_missing_number_is_said(said, table):
    lost = table[
        ~((table["student"] == QWEN) & (table["teacher"] == "r1") & (table["step"] == 200))
    ]
    found = claims.check_claims(said, lost[lost["step"] != 300]).set_index("id")
    assert found.loc["best_base_math_math500", ["verdict", "numbers"]].tolist() == [
        "not reported",
        "The tables have 0 numbers for it.",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",size,", ",seize,", "claims.csv, line 2: quantity is 'seize': write one of size"),
        (
            ",math500,500,",
            ",math500,5oo,",
            "claims.csv, line 2: value is '5oo': write a number, or nothing.",
        ),
        (
            "listed_math500",
            "size_math500",
            "claims.csv, line 3: id 'size_math500' is taken: give each claim its own.",
        ),
        ("id,section", "section,id", "claims.csv, line 1: the columns are"),
    ],
)
def test_a_claim_that_cannot_be_is_refused(tmp_path, old, new, message):
    file = tmp_path / "claims.csv"
    text = (accuracies.PUBLISHED / "claims.csv").read_text(encoding="utf-8")
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        claims.load_claims(file)
    assert message in str(error.value)


def test_claimed_numbers_are_in_the_study(said, data_dir):
    """Every number that a claim gives is printed in the sections that it names."""
    file = data_dir.parent / "study" / "results_summary.md"
    if not file.is_file():
        pytest.skip("the published study is not beside the data")
    text = file.read_text(encoding="utf-8")
    for c in said[(said["value"] != "")].itertuples():
        heading = c.section.split(",")[0].rstrip(" 0123456789")
        section = text[text.index(f"## {heading}") :].split("\n## ")[0]
        assert re.search(rf"(?<![\d.]){re.escape(c.value)}(?![\d.]\d)", section), c.id
