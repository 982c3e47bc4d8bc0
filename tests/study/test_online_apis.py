import pytest
from online_world import KEY, MODEL, answer

FILES = ("traces_sonnet_math.yaml", "traces_sonnet_code.yaml")


def refusing(status, kind, message):
    error = {"type": "error", "error": {"type": kind, "message": message}}
    return lambda path, asked: (status, error)


def test_one_request_of_a_few_tokens_and_its_price(world):
    found = world.ask(MODEL, *FILES)
    assert found == {
        "price": ("$3.00 and $15.00 a million tokens of input and output", ""),
        "answer": (f"from {MODEL}: 20 tokens of input, 3 of output, $0.00011", ""),
        "batches": ("open to the key", ""),
    }
    (path, sent), (listed, nothing) = world.hub.asked
    assert (path, sent["model"], sent["max_tokens"]) == ("/v1/messages", MODEL, 16)
    assert "thinking" not in sent and (listed, nothing) == ("/v1/messages/batches", None)


@pytest.mark.parametrize(
    ("status", "kind", "message", "lack"),
    [
        (
            401,
            "authentication_error",
            "invalid x-api-key",
            "put a valid key into ANTHROPIC_API_KEY",
        ),
        (403, "permission_error", "no", "give the account of ANTHROPIC_API_KEY the right"),
        (404, "not_found_error", f"model: {MODEL}", "correct teacher_model or teacher_url"),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low",
            "add credit to the account",
        ),
        (429, "rate_limit_error", "slow down", "try again later; if it stays"),
        (529, "overloaded_error", "Overloaded", "try again later; if it stays"),
        (400, "invalid_request_error", "max_tokens: no", "the request is refused: correct"),
    ],
)
def test_what_the_api_refuses_and_what_to_do(world, status, kind, message, lack):
    world.hub.answer = refusing(status, kind, message)
    found = world.ask(MODEL, *FILES)
    assert list(found) == ["price", "answer"]
    assert found["answer"][0] == f"{kind}: {message}" and lack in found["answer"][1]


def test_batches_that_the_key_may_not_have(world):
    def only_messages(path, asked):
        return (
            answer(path, asked) if asked else refusing(403, "permission_error", "no")(path, asked)
        )

    world.hub.answer = only_messages
    found = world.ask(MODEL, *FILES)
    assert not found["answer"][1] and "the right to use" in found["batches"][1]


def test_another_model_or_another_api_that_answers(world):
    world.hub.answer = lambda path, asked: answer(path, asked and asked | {"model": "claude-other"})
    found, lack = world.ask(MODEL, *FILES)["answer"]
    assert "from claude-other" in found and lack == f"{MODEL} was asked: correct teacher_model"
    world.hub.answer = lambda path, asked: (200, {"hello": 1})
    found, lack = world.ask(MODEL, *FILES)["answer"]
    assert "unreadable response" in found and "correct teacher_url" in lack


PRICES = """
from distill_nb.traces.teacher import costs
kept = costs.price_of
costs.price_of = lambda model: kept(model, {prices})
try:
    found = findings({model!r}, {files!r})
    lines = [online.online_apis.announcement(p) for p in online.read({files!r})[1]]
finally:
    costs.price_of = kept
result = [found, lines]
"""


@pytest.mark.parametrize(
    ("prices", "lack"),
    [
        ("{}", f"teacher_model {MODEL} has no price there"),
        (f'{{"{MODEL}": {{"input": -3, "output": 15.0}}}}', f"input of {MODEL} is -3"),
    ],
)
def test_without_a_price_nothing_is_sent(world, prices, lack):
    found, lines = world.run(PRICES.format(prices=prices, model=MODEL, files=FILES))
    ((what, said, why),) = found
    assert (what, said) == ("price", "none that can be used; nothing is sent") and lack in why
    assert world.hub.asked == [] and lines == ["", ""]


def test_without_a_key_nothing_is_sent(world):
    program = f"""
import os
key = os.environ.pop("ANTHROPIC_API_KEY")
result = findings({MODEL!r}, {FILES!r})
os.environ["ANTHROPIC_API_KEY"] = key
"""
    found = world.run(program)
    assert found[1] == [
        "answer",
        "not asked, without a key",
        "no new traces from it: set ANTHROPIC_API_KEY",
    ]
    assert world.hub.asked == []


def test_without_the_package_nothing_is_sent(world):
    program = f"""
kept, sys.modules["anthropic"] = sys.modules["anthropic"], None
result = findings({MODEL!r}, {FILES!r})
sys.modules["anthropic"] = kept
"""
    found = world.run(program)
    assert found[1][1:] == [
        "not asked, without a package",
        "no new traces from it: install anthropic (make setup-study)",
    ]
    assert world.hub.asked == []


def test_ones_own_server_needs_no_key(world, tmp_path):
    def completion(path, asked):
        message = {"role": "assistant", "content": "Blue"}
        made = {"id": "c", "object": "chat.completion", "created": 1, "model": asked["model"]}
        made["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return 200, made | {
            "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        }

    world.hub.answer = completion
    own, name = f"{world.hub.url}/v1", "deepseek-ai/DeepSeek-R1"
    changes = {"teacher_api": "openai", "teacher_url": own, "teacher_mode": "messages"}
    changes |= {"teacher_model": name, "dataset": "own_math"}
    begin = f"""
import os, yaml
os.environ.pop("OPENAI_API_KEY", None)
from distill_nb import params
values = params.read_files("traces_sonnet_math.yaml") | {changes!r}
open({str(tmp_path / "own.yaml")!r}, "w").write(yaml.safe_dump(values))
"""
    found = world.ask(f"{name} at {own}", str(tmp_path / "own.yaml"), begin=begin)
    assert found["price"][0].startswith("$0.00 and $0.00")
    assert found["answer"] == (f"from {name}: 9 tokens of input, 1 of output, $0.00", "")
    assert "batches" not in found and KEY not in str(world.hub.asked)
