"""Teachers that are served no more: stopped before anything is sent, under no other's name."""

import datetime

import pytest

from distill_nb import params
from distill_nb.plan import plan
from distill_nb.runtime import paths
from distill_nb.traces import from_teacher
from distill_nb.traces import params as trace_params
from distill_nb.traces.teacher import costs, retired

MODEL = "claude-sonnet-4-5-20250929"
LAST = datetime.date(2026, 11, 30)


@pytest.mark.parametrize("days, stopped", [(-1, False), (0, True), (400, True)])
def test_a_retired_teacher_names_the_nearest_and_the_file_that_asks_it(days, stopped):
    for domain in ("math", "code"):
        today = LAST + datetime.timedelta(days)
        found = retired.sentence(MODEL, "none", f"sonnet_{domain}", today)
        assert found == stopped * (
            f"teacher_model: {MODEL} retired on 2026-11-30 and can't be asked any more; the "
            "nearest teacher is claude-sonnet-5-5, and "
            f"papermill_params/traces_claude_{domain}.yaml asks it."
        )


def test_another_server_and_another_model_are_asked(monkeypatch):
    late = datetime.date(2030, 1, 1)
    assert retired.sentence(MODEL, "http://localhost:1", "sonnet_math", late) == ""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://localhost:1")
    assert retired.sentence(MODEL, "none", "sonnet_math", late) == ""
    monkeypatch.delenv("ANTHROPIC_BASE_URL")
    assert retired.sentence("claude-sonnet-5-5", "none", "claude_math", late) == ""


def test_each_nearest_teacher_has_its_file_and_its_price():
    table = params.read_files(paths.PARAMS_DIR / "prices.yaml")["retired"]
    assert MODEL in table
    for known in table.values():
        for domain in ("math", "code"):
            file = known["file"].format(domain=domain)
            p = trace_params.validate(params.read_files(paths.PARAMS_DIR / file), file)
            assert p.teacher_model == known["nearest"]
            assert p.dataset == f"claude_{domain}"
            assert not retired.sentence(p.teacher_model, p.teacher_url, p.dataset, LAST)
        assert costs.price_of(known["nearest"])["output"] > 0


def test_a_table_that_cannot_be_used_says_what_to_write(monkeypatch):
    monkeypatch.setattr(params, "read_files", lambda file: {"retired": {"m": {"since": "soon"}}})
    with pytest.raises(
        ValueError, match=r"prices\.yaml: retired has .* for m; write since \(a date"
    ):
        retired.sentence("m", "", "sonnet_math")


@pytest.fixture
def after(monkeypatch):
    """A day after the last one."""

    class Later(datetime.date):
        @classmethod
        def today(cls):
            return LAST + datetime.timedelta(1)

    monkeypatch.setattr(datetime, "date", Later)


def sonnet(**changes):
    values = params.read_files(paths.PARAMS_DIR / "traces_sonnet_math.yaml")
    return trace_params.validate(values | changes, "traces_sonnet_math.yaml")


def test_the_set_stops_before_anything_is_sent(after, monkeypatch):
    problem = {"id": "p", "problem": "What is 2 + 3?", "answer": "5", "prompt": "What is 2 + 3?"}
    monkeypatch.setattr(from_teacher, "problems_of", lambda p: ([problem], {}))
    monkeypatch.setattr(from_teacher, "judge", lambda p, problems, evaluation: (problems, []))
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    for max_cost in (0.0, 100.0):
        with pytest.raises(ValueError, match=f"^teacher_model: {MODEL} retired on 2026-11-30"):
            from_teacher.build(sonnet(max_cost=max_cost), paths.runs(), None)


def test_a_plan_says_it(after):
    line, dollars = plan.cost_of_traces(vars(sonnet()))
    assert line.startswith(f"sonnet_math: teacher_model: {MODEL} retired") and dollars == 0


def test_a_set_of_another_teacher_is_not_called_sonnet():
    with pytest.raises(ValueError, match="name the set after its teacher, as in claude_math"):
        sonnet(teacher_model="claude-sonnet-5-5")
