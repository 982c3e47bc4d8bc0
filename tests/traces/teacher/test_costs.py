"""What asking costs: estimated before, and never more than max_cost."""

import pytest
from fake_teacher import FakeTeacher
from teacher_cases import ALL, MARKS, MESSAGE, PROBLEMS, TEXTS, boxed, made, right, settings

from distill_nb.traces.teacher import costs, generation

pytestmark = MARKS


def test_the_estimate_is_what_is_then_asked_for(tmp_path):
    with FakeTeacher(lambda p, n: right(p, n) if p != TEXTS[0] else "wrong") as server:
        s = settings(server, attempts=2)
        before = generation.estimate(s, PROBLEMS, tmp_path / "t")
        assert not (tmp_path / "t").exists() and sum(server.calls.values()) == 0
        most_in = sum(len(t) + 200 for t in TEXTS)
        assert (before.next_requests, before.all_requests, before.most_output_tokens) == (
            6,
            12,
            6000,
        )
        assert (
            before.most_cost == pytest.approx((most_in * 3 + 6000 * 15) / 2e6)
            and before.likely_cost is None
        )
        assert before.most_cost_of_all == pytest.approx(2 * before.most_cost) and before.spent == 0
        made(settings(server), tmp_path / "t")
        after = generation.estimate(
            settings(server, attempts=2, teacher_mode="messages"),
            PROBLEMS,
            tmp_path / "t",
            verify=boxed,
        )
        assert (after.solved, after.next_requests, after.likely_output_tokens) == (5, 1, 50)
        # full price
        assert after.most_cost == pytest.approx(((len(TEXTS[0]) + 200) * 3 + 1000 * 15) / 1e6)
        assert after.spent == pytest.approx(6 * (100 * 3 + 50 * 15) / 2e6)
        assert (
            "6 problems, 5 of them solved" in after.text()
            and "1 requests (full price)" in after.text()
        )


def test_max_cost_stops_before_anything_is_sent_and_between_rounds(tmp_path):
    with FakeTeacher(lambda p, n: "wrong") as server:
        for max_cost in (0.0, 0.007):
            with pytest.raises(
                ValueError,
                match=r"max_cost is \$0\.0\d+, \$0\.00 are spent, and the next 6 requests may cost "
                r"up to \$0\.05, and not even one fits; raise max_cost",
            ):
                made(settings(server, max_cost=max_cost), tmp_path / "t")
        assert sum(server.calls.values()) == 0


def full(self, body, found):
    """A message that is as long as it may be."""
    made = MESSAGE(self, body, found)
    most_in = len(body["messages"][-1]["content"]) + 200
    return made | {"usage": made["usage"] | {"input_tokens": most_in, "output_tokens": 1000}}


@pytest.mark.parametrize("mode", ["batch", "messages"])
def test_the_part_that_max_cost_allows_is_sent_in_the_problems_order(
    tmp_path, caplog, monkeypatch, mode
):
    caplog.set_level("INFO", "distill_nb")
    monkeypatch.setattr(FakeTeacher, "message", full)
    one = ((len(TEXTS[0]) + 200) * 3 + 1000 * 15) / (2e6 if mode == "batch" else 1e6)
    with FakeTeacher(right) as server:
        s = settings(server, max_cost=4.5 * one, teacher_mode=mode)
        assert generation.estimate(s, PROBLEMS, tmp_path / "t").next_affordable == 4
        assert "enough for 4 of the next" in generation.estimate(s, PROBLEMS, tmp_path / "t").text()
        assert made(s, tmp_path / "t") == (ALL[:4], [(i, "max_cost") for i in ALL[4:]])
        assert server.paid == dict.fromkeys(TEXTS[:4], 1)
        assert "4 of them are sent now, and 2 wait for what these leave" in caplog.text
        assert "Stopped with 2 requests left" in caplog.text
        assert generation.estimate(s, PROBLEMS, tmp_path / "t").spent == pytest.approx(4 * one)
        assert made(settings(server, max_cost=6.01 * one, teacher_mode=mode), tmp_path / "t") == (
            ALL,
            [],
        )
        assert server.paid == dict.fromkeys(TEXTS, 1)


def test_requests_without_an_answer_that_use_max_cost_up_leave_every_problem_open(tmp_path):
    with FakeTeacher(right) as server:
        s = settings(server, teacher_mode="messages", concurrency=1, max_cost=0.1)
        server.faults = {"POST /v1/messages": ["drop"] * 6}
        # the six together may cost 9.4 cents, and each counts as if it had
        for _ in range(2):
            with pytest.raises(
                ValueError,
                match=r"max_cost is \$0\.10, \$0\.09 are spent, .*: \$0\.09 count for requests "
                r"that got no answer .*; raise max_cost and start again: every problem",
            ):
                made(s, tmp_path / "t")
        assert not server.paid and server.calls["POST /v1/messages"] == 6
        again = settings(server, teacher_mode="messages", max_cost=0.2)
        assert made(again, tmp_path / "t") == (ALL, [])


def test_what_short_answers_leave_is_spent_and_first_attempts_come_first(tmp_path):
    sent = []

    def answer(prompt, n):
        sent.append((prompt, n))
        return "wrong"

    with FakeTeacher(answer) as server:  # an answer costs a fifteenth of what it may
        s = settings(server, max_cost=0.025, attempts=2, teacher_mode="messages", concurrency=1)
        assert made(s, tmp_path / "t") == (
            [],
            [(t, "wrong") for t in ALL[:3]] + [(t, "max_cost") for t in ALL[3:]],
        )
        assert sent == [(t, 1) for t in TEXTS] + [(t, 2) for t in TEXTS[:3]]
        most, spent = (
            ((len(TEXTS[0]) + 200) * 3 + 1000 * 15) / 1e6,
            generation.estimate(s, PROBLEMS, tmp_path / "t").spent,
        )
        assert spent == pytest.approx(9 * 0.00105) and spent + most > 0.025 > spent - 0.00105 + most


def test_a_model_without_a_price_is_refused_unless_one_is_given(tmp_path):
    with FakeTeacher(right) as server:
        s = settings(server, teacher_model="claude-next", teacher_mode="messages")
        with pytest.raises(
            ValueError, match=r"prices\.yaml: teacher_model claude-next has no price there"
        ):
            made(s, tmp_path / "t")
        assert sum(server.calls.values()) == 0
        assert made(s, tmp_path / "t", prices={"claude-next": {"input": 1, "output": 2}}) == (
            ALL,
            [],
        )
        with pytest.raises(ValueError, match="prices: output of claude-next is 'two'"):
            made(s, tmp_path / "u", prices={"claude-next": {"input": 1, "output": "two"}})


@pytest.mark.parametrize(
    ("amount", "says"), [(0, "$0.00"), (0.00123, "$0.0012"), (0.01, "$0.01"), (1234.5, "$1,234.50")]
)
def test_less_than_a_cent_is_shown(amount, says):
    assert costs.dollars(amount) == says
