"""`doctor --online` as a whole: a sound hub, limits of time and of downloads, the disk, files."""

import sys

import httpx
import pytest
from click.testing import CliRunner
from online_world import LLAMA, MODEL, sha256

from distill_nb.__main__ import main
from distill_nb.benchmarks import math500
from distill_nb.study import online, online_budget
from distill_nb.study.doctor import Finding
from distill_nb.study.online import Source
from distill_nb.study.online_budget import Budget, Spent
from distill_nb.traces import hub as traces_hub

FILES = [
    "run07.yaml",
    "baseline_qwen_base.yaml",
    "traces_r1_math.yaml",
    "traces_r1_code.yaml",
    "traces_sonnet_math.yaml",
]
CHECK = f"lines = []\nfine = online.check({FILES!r}, lines.append)\nresult = [fine, lines]"


def test_a_sound_hub_is_fine(world):
    fine, lines = world.run(CHECK)
    text = "\n".join(lines)
    assert fine and "–" not in text, text
    assert lines[0] == f"{MODEL} is sent one request of at most 16 output tokens: at most $0.00097."
    names = [line.strip().partition("\n")[0] for line in lines[1:-1]]
    benchmarks = ["aime", "humaneval_plus", "livecodebench", "math500", "mbpp_plus"]
    students = ["Qwen/Qwen3-30B-A3B-Base", LLAMA]
    assert names == ["r1_math", "r1_code", *benchmarks, *students, MODEL, "disk"]
    assert lines[-1].startswith("\nNothing differs. 0.")
    downloaded = float(lines[-1].split()[2]) * 1e6
    assert world.hub.served == pytest.approx(downloaded, abs=60_000)


def test_a_source_that_hangs_stops_no_other(world):
    world.hub.hangs.add(math500.HUB_ID)
    world.hub.hangs.add(traces_hub.HUB["r1_math"][0])
    program = f"online.SECONDS, kept = 12.0, online.SECONDS\n{CHECK}\nonline.SECONDS = kept"
    fine, lines = world.run(program)
    found = {line.strip().partition("\n")[0]: line for line in lines}
    assert not fine
    for name in ("math500", "r1_math"):
        assert "could not be reached" in found[name] or "not within 12 s" in found[name]
    for name in ("aime", "r1_code", LLAMA, MODEL):
        assert "–" not in found[name], found[name]
    assert "to download, without r1_math" in found["disk"]
    assert "2 of " in lines[-1]


def test_what_does_not_answer_in_time_is_said_with_what_it_has_said():
    import threading

    ended = threading.Event()

    def slow():
        yield Finding("first", "is there")
        ended.wait(60)
        yield Finding("second", "came late")

    def quick():
        yield Finding("all", "is there")
        raise OSError("the rest\nis not")

    asked = [Source("slow", slow), Source("quick", quick)]
    first, second = online.answers(asked, 1.0, Budget())
    ended.set()
    assert first.found == [
        Finding("first", "is there"),
        Finding("answer", "not within 1 s", online.SLOW),
    ]
    assert second.found[1].found == "OSError: the rest is not" and second.found[1].lack


def test_no_more_is_downloaded_than_the_budget_has(world):
    name = next(iter(math500.FILES))
    repository = world.hub.repositories["dataset", math500.HUB_ID]
    repository.listed[name] = sha256(repository.files[name])
    repository.files[name] = b" " * 40_000_000
    program = f"result = findings('math500', {FILES!r}, Budget(300_000))"
    (*_, (what, found, lack)) = world.run(program)
    assert (what, lack) == ("fault", "give fewer parameter files, so that each source is read")
    assert found == "not read: 0.3 MB are all that this command downloads"
    assert world.hub.served < 20_000_000  # what the system's buffers took before the end
    program = f"result = findings('humaneval_plus', {FILES!r}, Budget(100))"
    (*_, (what, found, lack)) = world.run(program)
    assert what == "fault" and "all that this command downloads" in found


def test_bytes_are_counted_as_they_come():
    budget = Budget(100)
    pieces = httpx.MockTransport(lambda _: httpx.Response(200, content=iter([b"x" * 40] * 4)))
    hooks = {"response": [online_budget.counter(budget)]}
    with httpx.Client(transport=pieces, event_hooks=hooks) as client:
        client.head("http://hub")
        assert budget.used == 0
        with pytest.raises(Spent):
            client.get("http://hub")
    assert budget.used == 120
    with pytest.raises(Spent):
        Budget(100).ask(101)
    Budget(100).ask(100)


def test_the_hubs_client_is_as_before_afterwards():
    from huggingface_hub import constants, get_session

    before = constants.HF_HUB_DISABLE_XET
    with online_budget.counted(Budget()):
        assert constants.HF_HUB_DISABLE_XET and len(get_session().event_hooks["response"]) == 1
    assert before == constants.HF_HUB_DISABLE_XET and not get_session().event_hooks["response"]


def test_a_full_disk(world):
    program = f"room.free = 10\n{CHECK}"
    fine, lines = world.run(program)
    assert not fine
    assert " too little: make room, or set HF_HOME or DISTILL_NB_RUNS to a folder" in lines[-2]


def test_a_package_that_is_missing_and_a_hub_that_may_not_be_asked(world):
    def look():
        raise ImportError("No module named 'anthropic'")
        yield

    (source,) = online.answers([Source("api", look)], 5, Budget())
    assert source.found[0].lack == "make setup-study installs it"
    program = """
from huggingface_hub import constants
constants.HF_HUB_OFFLINE = True
try:
    online.check(["run07.yaml"], print)
except ValueError as error:
    result = str(error)
constants.HF_HUB_OFFLINE = False
"""
    assert world.run(program).startswith("HF_HUB_OFFLINE: it is set")


def test_the_studys_files_are_asked_for_when_none_is_named():
    runs, sets = online.read([])
    assert len(runs) == 13 and [p.dataset for p in sets] == [
        "r1_math",
        "r1_code",
        "sonnet_math",
        "sonnet_code",
    ]
    asked = [source.name for source in online.sources(runs, sets, {}, Budget())]
    assert len(asked) == len(set(asked)) == 2 + 5 + 3 + 1


def test_files_that_are_no_whole_run_are_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["distill-nb"])
    said = CliRunner().invoke(main, ["doctor", "--online", "pocket.yaml"])
    assert said.exit_code == 1 and "this is no whole run and no whole set" in str(said.exception)
    said = CliRunner().invoke(main, ["doctor", "run07.yaml"])
    assert "takes parameter files with --online only" in str(said.exception)


@pytest.mark.parametrize(("fine", "code"), [(True, 0), (False, 1)])
def test_the_exit_status(monkeypatch, fine, code):
    asked = []

    def check(files, say):
        asked.append(files)
        say("a line")
        return fine

    monkeypatch.setattr(online, "check", check)
    said = CliRunner().invoke(main, ["doctor", "--online", "run07.yaml"])
    assert (said.exit_code, said.output, asked) == (code, "a line\n", [["run07.yaml"]])
