import json

from fake_hub import GATED
from online_world import LLAMA, QWEN, QWEN_TEMPLATE

from distill_nb.students import sources

FILES = ("run07.yaml", "baseline_qwen_base.yaml")


def of(world, hub_id=LLAMA):
    return world.hub.repositories["model", hub_id]


def changed(files, name, **values):
    files[name] = json.dumps(json.loads(files[name]) | values).encode()


def test_a_gated_student_says_what_to_do(world):
    of(world).refuses = GATED
    found = world.ask(LLAMA, *FILES)
    assert list(found) == ["access"]
    assert "is gated: ask for access on its page and log in with `hf auth login`" in str(found)
    of(world).refuses = (401, "GatedRepo", "Access is restricted.")
    assert "is gated" in world.ask(LLAMA, *FILES)["access"][1]
    of(world).refuses = (403, None, "Forbidden")
    assert "does not open to your token (HTTP 403)" in world.ask(LLAMA, *FILES)["access"][1]


def test_a_student_that_is_gone_or_has_no_weights(world):
    del world.hub.repositories["model", QWEN]
    (found,) = world.ask(QWEN, *FILES).values()
    assert "is not there, or is private, or set student to a folder" in found[1]
    del of(world).files[sources.WEIGHTS]
    (found,) = world.ask(LLAMA, *FILES).values()
    assert "has no model.safetensors" in found[1]


def test_weights_of_another_size_or_with_a_part_missing(world):
    files = of(world).files
    whole = files[sources.WEIGHTS]
    files[sources.WEIGHTS] = 2 * whole
    found, lack = world.ask(LLAMA, *FILES)["weights"]
    assert "the plan has 0.3 MB: the files are of other numbers, or incomplete" in lack, lack
    assert found == f"{2 * whole / 1e6:,.1f} MB in 1 files"
    files["part-1.safetensors"] = files.pop(sources.WEIGHTS)
    names = {"a": "part-1.safetensors", "b": "part-2.safetensors"}
    files[sources.INDEX] = json.dumps({"weight_map": names}).encode()
    found, lack = world.ask(LLAMA, *FILES)["weights"]
    assert found == "part-2.safetensors is not there" and "cannot be loaded" in lack


def test_another_chat_template_is_found_at_its_first_token(world):
    text = QWEN_TEMPLATE.replace("<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n")
    changed(of(world, QWEN).files, "tokenizer_config.json", chat_template=text)
    found, lack = world.ask(QWEN, *FILES)["chat template"]
    assert found == "at token 88 it has '<think'" and "ours (qwen3) has its end" in lack
    text = text.replace("{{ turn.content }}", "{{ turn.content }} ")
    changed(of(world, QWEN).files, "tokenizer_config.json", chat_template=text)
    assert world.ask(QWEN, *FILES)["chat template"][0].startswith("at token 20 it has ' <|im_end|>")


def test_only_the_dated_header_of_llama_is_left_out(world):
    text = json.loads(of(world).files["tokenizer_config.json"])["chat_template"]
    assert "without its dated system header" in world.ask(LLAMA, *FILES)["chat template"][0]
    changed(
        of(world).files,
        "tokenizer_config.json",
        chat_template=text.replace("2024\n\n<|eot_id|>", "2024\n\nYou are kind.<|eot_id|>"),
    )
    found, lack = world.ask(LLAMA, *FILES)["chat template"]
    assert found.startswith("at token 2 it has 'system") and "ours (llama3) has 'user" in lack


def test_a_student_without_a_chat_template_is_no_difference(world):
    about = json.loads(of(world).files["tokenizer_config.json"])
    del about["chat_template"]
    of(world).files["tokenizer_config.json"] = json.dumps(about).encode()
    assert world.ask(LLAMA, *FILES)["chat template"] == ("it has none; ours is llama3", "")


def test_other_special_tokens(world):
    files = of(world).files
    changed(files, "tokenizer_config.json", eos_token="<|start_header_id|>")
    _, lack = world.ask(LLAMA, *FILES)["special tokens"]
    assert "its own end token is <|start_header_id|>, at which our answers do not stop" in lack
    token = b"<|finetune_right_pad_id|>"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        files[name] = files[name].replace(token, b"<|another_pad|>")
    _, lack = world.ask(LLAMA, *FILES)["special tokens"]
    assert "the student's tokenizer has no token '<|finetune_right_pad_id|>'" in lack


def test_another_config(world):
    changed(of(world).files, "config.json", num_hidden_layers=3)
    found, lack = world.ask(LLAMA, *FILES)["config"]
    assert found == "num_hidden_layers 3 for 2" and "correct plan/architectures.py" in lack


def test_a_broken_file_is_a_finding_and_no_traceback(world):
    of(world).files["config.json"] = b"{"
    (what, (found, lack)) = list(world.ask(LLAMA, *FILES).items())[-1]
    assert what == "fault" and found and "not as the code expects" in lack
