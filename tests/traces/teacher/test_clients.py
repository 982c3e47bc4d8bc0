"""Several processes ask one teacher: every problem is answered once, and nothing is asked twice but
what a killed one had under way."""

import json
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict

import pytest
from fake_teacher import FakeTeacher
from teacher_cases import MARKS, boxed, made, right, settings, stored

from distill_nb.runtime import jsonl, lock, paths
from distill_nb.runtime.shard import Shard, shards
from distill_nb.traces.teacher import clients, generation

pytestmark = MARKS
PROBLEMS = [
    {"id": f"p{i}", "problem": f"Say {i} in \\boxed{{}}.", "answer": str(i)} for i in range(12)
]
TEXT_7 = PROBLEMS[7]["problem"]
MESSAGES = {"teacher_mode": "messages", "concurrency": 2}
CLIENT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from teacher_cases import boxed
from distill_nb.runtime.shard import parse
from distill_nb.traces.teacher import clients
from distill_nb.traces.teacher.settings import Settings
how, problems, main, shard = json.loads(sys.argv[2])
made = clients.ask(Settings(**how), problems, Path(main), parse(shard), verify=boxed)
print(len(made))
"""


class Holding(FakeTeacher):
    """It keeps its answers waiting that have `hold`, until that is set."""

    def message(self, body, found):
        if "hold" in found:
            found["hold"].wait(100)
        return super().message(body, found)


def client(server, main, shard):
    """A process that asks as one of three clients."""
    how = asdict(settings(server, **MESSAGES))
    words = json.dumps([how, PROBLEMS, str(main), shard])
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(paths.ROOT / "tests"), words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=paths.child_environment(),
    )


def test_three_clients_one_of_them_killed_answer_every_problem_once(tmp_path):
    main, held = tmp_path / "teacher", threading.Event()

    def answer(prompt, n):
        open_at_the_kill = prompt == TEXT_7 and n == 1
        return {"text": right(prompt, n)} | ({"hold": held} if open_at_the_kill else {})

    with Holding(answer) as server:
        processes = {name: client(server, main, name) for name in ("1_of_3", "2_of_3", "3_of_3")}
        end = time.monotonic() + 90
        while not (server.asked[TEXT_7] and len(_answered(main, "2_of_3")) == 3):
            assert time.monotonic() < end
            time.sleep(0.02)
        processes["2_of_3"].kill()  # it has 1, 4 and 10, and 7 is under way
        said = {name: process.communicate()[0] for name, process in processes.items()}
        held.set()
        assert said == {"1_of_3": "4\n", "2_of_3": "", "3_of_3": "4\n"}
        assert _answered(main, "2_of_3") == {"p1", "p4", "p10"}
        assert client(server, main, "2_of_3").communicate()[0] == "4\n"

        asked_by_clients = dict(server.asked)
        clients.merge(main)
        found = generation.generate(settings(server, **MESSAGES), PROBLEMS, main, verify=boxed)
        assert dict(server.asked) == asked_by_clients  # nothing was left to be asked
    twice = {prompt for prompt, times in asked_by_clients.items() if times > 1}
    assert len(asked_by_clients) == 12 and twice == {TEXT_7}
    assert [row["id"] for row in found.rows()] == [p["id"] for p in PROBLEMS]
    good = [r["id"] for r in stored(main) if r["status"] == "succeeded"]
    assert sorted(good) == sorted(p["id"] for p in PROBLEMS)
    assert [r["id"] for r in stored(main) if r["status"] == "lost"] == ["p7"]
    assert not (main / "clients").exists()


def _answered(main, shard):
    return {r["id"] for r in stored(main / "clients" / shard)}


def test_clients_go_on_with_what_one_process_has_and_share_what_it_may_spend(tmp_path):
    main = tmp_path / "teacher"
    with FakeTeacher(lambda prompt, n: "no" if "9" in prompt and n == 1 else right(prompt, n)) as t:
        s = settings(t, **MESSAGES, attempts=2)
        made(s, main, PROBLEMS[:5])
        before = dict(t.asked)
        for shard in shards(2):
            clients.ask(s, PROBLEMS, main, shard, verify=boxed)
        assert {p: t.asked[p] for p in before} == before and len(t.asked) == 12
        # each client counts what it began with, and has half of what is left
        first, second = (clients.folder(main, shard) for shard in shards(2))
        assert {r["id"] for r in stored(first)} == {f"p{i}" for i in range(0, 12, 2)}
        assert len(stored(second)) == 7  # p9 twice
        seeded = [json.loads((f / "seeded.json").read_text())["tokens"] for f in (first, second)]
        assert [tokens["messages"] for tokens in seeded] == [[300, 150], [200, 100]]
        lines = {name: (main / name).read_text() for name in clients.LINES}
        shutil.copytree(main / "clients", tmp_path / "clients")
        clients.merge(main)
        # killed before it had removed the stores, and done again: nothing is there twice
        shutil.copytree(tmp_path / "clients", main / "clients", dirs_exist_ok=True)
        clients.merge(main)
        assert len(stored(main)) == 13 and all(
            (main / name).read_text().startswith(text) for name, text in lines.items()
        )
        assert made(s, main, PROBLEMS)[0] == [p["id"] for p in PROBLEMS]
        assert sum(t.asked.values()) == 13


def test_another_number_of_clients_takes_over_what_there_is(tmp_path):
    main = tmp_path / "teacher"
    with FakeTeacher(right) as server:
        s = settings(server, **MESSAGES)
        clients.ask(s, PROBLEMS, main, Shard(1, 2), verify=boxed)
        for shard in shards(3):
            clients.ask(s, PROBLEMS, main, shard, verify=boxed)
        assert len(server.asked) == 12 and set(server.asked.values()) == {1}
        assert not (main / "clients" / "1_of_2").exists()


def test_what_clients_cannot_do_is_refused(tmp_path):
    main = tmp_path / "teacher"
    with FakeTeacher(right) as server:
        with pytest.raises(ValueError, match=r"teacher_mode: batch .* write messages"):
            clients.ask(settings(server), PROBLEMS, main, Shard(1, 2))
        s = settings(server, **MESSAGES)
        clients.ask(s, PROBLEMS, main, Shard(1, 2), verify=boxed)
        with (
            lock.locked(clients.folder(main, Shard(1, 2)), doing="being filled"),
            pytest.raises(ValueError, match="1_of_2 is being filled by"),
        ):
            clients.merge(main)
        clients.merge(main)
        clients.ask(s, PROBLEMS, main, Shard(2, 2), verify=boxed)
        file = clients.folder(main, Shard(2, 2)) / "settings.json"
        about = json.loads(file.read_text())
        about["settings"]["teacher_temperature"] = 0.1
        file.write_text(json.dumps(about))
        with pytest.raises(ValueError, match=r"2_of_2/settings.json: .* teacher_temperature"):
            clients.merge(main)
        assert len(jsonl.read(main / "responses.jsonl")) == 6
