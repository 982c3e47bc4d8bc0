"""A student that is not whole is refused in one sentence before any work, and every sound one is
not."""

import json
import shutil

import pytest
import torch
from helpers import tiny
from safetensors.torch import load_file, save_file

from distill_nb import params
from distill_nb.evaluation import evaluate
from distill_nb.plan import plan
from distill_nb.runtime import paths
from distill_nb.students import check_student, integrity, sources, student
from distill_nb.training import train

KINDS = {
    "dense": ({}, "llama3", "model.layers.1.self_attn.q_proj.weight"),
    "experts": (
        {"student": "Qwen/Qwen3-30B-A3B-Base"},
        "qwen3",
        "model.layers.1.mlp.experts.2.up_proj.weight",
    ),
}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 530792\n"
WEIGHTS = "model.safetensors"


def copy(kind, folder):
    """The parameters of a tiny student in a folder of its own."""
    changes, template, _ = KINDS[kind]
    shutil.copytree(sources.source(tiny(**changes)), folder)
    return tiny(student=str(folder), student_size="full", chat_template=template)


def sharded(kind, folder):
    """The same in several files with an index."""
    p = copy(kind, folder)
    student.load(p).save_pretrained(folder, max_shard_size="100KB")
    (folder / WEIGHTS).unlink()
    return p


def put(name, text):
    return lambda folder: (folder / name).write_text(text)


def cut(name, share=0.5):
    def change(folder):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(len(whole) * share)])

    return change


def gone(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def config(**values):
    def change(folder):
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return change


FILES = [
    (gone("config.json"), "config.json is not there; copy config.json again"),
    (put("config.json", ""), "config.json is empty"),
    (put("config.json", "{bad"), "config.json is not valid JSON"),
    (put("config.json", "[]"), "config.json holds a list, not a mapping of keys"),
    (put("config.json", POINTER), "config.json is a Git LFS pointer, .* `git lfs pull`"),
    (config(model_type="other"), "cannot read config.json of .*other.*; correct it"),
    (config(model_type="other", auto_map={"AutoConfig": "a.B"}), "cannot read config.json"),
    (config(model_type="clip"), "has model_type clip, which is no causal language model"),
    (config(hidden_size="64"), "cannot read config.json of .*hidden_size"),
    (config(hidden_act="other"), "cannot build .* from its config.json .*other"),
    (config(num_hidden_layers=3), r"lack model\.layers\.2\..* \(and \d+ more\), .* random at each"),
    (
        config(num_hidden_layers=1),
        r"have model\.layers\.1\..* \(and \d+ more\), for which .* no pl",
    ),
    (config(hidden_size=128), r"\.weight is \[.*\], and by its config.json it is \[.*\]; copy"),
    (gone(WEIGHTS), f"lacks weights: {WEIGHTS}; copy it"),
    (put(WEIGHTS, ""), f"{WEIGHTS} is empty"),
    (put(WEIGHTS, POINTER), f"{WEIGHTS} is a Git LFS pointer, not the file itself; run `git lfs"),
    (put(WEIGHTS, "no weights" * 9), f"{WEIGHTS} is damaged or cut off .*; copy {WEIGHTS} again"),
    (cut(WEIGHTS), f"{WEIGHTS} is damaged or cut off"),
    (cut(WEIGHTS, 0.001), f"{WEIGHTS} is damaged or cut off"),
    (put(sources.INDEX, "{}"), f"has both {WEIGHTS} and {sources.INDEX}"),
    (lambda f: shutil.copy(f / WEIGHTS, f / "older.safetensors"), "older.safetensors .* engines"),
    (put("adapter_config.json", "{}"), "has an adapter_config.json beside its config.json"),
    (gone("tokenizer.json"), "has no tokenizer: tokenizer.json; copy it from"),
    (gone("tokenizer.json", "tokenizer_config.json"), "has no tokenizer: tokenizer.json; copy it"),
    (put("tokenizer.json", POINTER), "tokenizer.json is a Git LFS pointer"),
    (cut("tokenizer.json"), "tokenizer.json is not valid JSON"),
    (put("tokenizer.json", "{}"), "the tokenizer of .* cannot be read"),
    (put("tokenizer_config.json", "[]"), "tokenizer_config.json holds a list"),
    (put("added_tokens.json", "{bad"), "added_tokens.json is not valid JSON"),
    (put("added_tokens.json", "[]"), "added_tokens.json holds a list"),
    (put("special_tokens_map.json", "{bad"), "special_tokens_map.json is not valid JSON"),
    (put("merges.txt", ""), "merges.txt is empty"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("change", "words"), FILES)
def test_a_damaged_file_is_named(change, words, kind, tmp_path):
    p = copy(kind, tmp_path / "student")
    check_student.check(p)
    change(tmp_path / "student")
    with pytest.raises(ValueError, match=rf"^student: .*{words}") as error:
        check_student.check(p)
    assert str(error.value).count("\n") == 0


def tokens(change):
    def made(folder):
        file = folder / "tokenizer.json"
        found = json.loads(file.read_text())
        change(found)
        file.write_text(json.dumps(found))

    return made


def beyond(found):
    last = {"id": 999, "content": "new", "special": False}
    found["added_tokens"].append(found["added_tokens"][0] | last)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found: found.update(added_tokens=[]), "^chat_template: .* tokenizer has no token"),
        (beyond, r"^student: the tokenizer .* has new beyond the \d+ tokens of .* vocab_size"),
        (
            lambda found: found["model"]["vocab"].pop("1"),
            "^student: the tokenizer of .* turns 'In 12 steps.* into .*, so its files are incomp",
        ),
    ],
)
def test_a_tokenizer_that_lacks_tokens_or_has_too_many_is_refused(change, words, tmp_path):
    p = copy("dense", tmp_path / "student")
    tokens(change)(tmp_path / "student")
    with pytest.raises(ValueError, match=words):
        check_student.check(p)


def edit(folder, change):
    """Change the tensors of a folder's only file."""
    found = load_file(folder / WEIGHTS)
    change(found)
    save_file(found, folder / WEIGHTS, metadata={"format": "pt"})


def rename(one, other):
    return lambda found: found.update({other: found.pop(one)})


@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_that_is_missing_too_much_or_of_another_shape_is_named(kind, tmp_path):
    *_, name = KINDS[kind]
    other = name.replace("1", "7", 1)
    faults = {
        "lack": (lambda found: found.pop(name), rf"lack {name}, and what is missing"),
        "head": (lambda found: found.pop("lm_head.weight"), "lack lm_head.weight, and"),
        "extra": (lambda found: found.update({"more": torch.ones(2)}), "more, .* or remove these"),
        "renamed": (rename(name, other), f"lack {name}, and"),
        "shape": (lambda found: found.update({name: found[name][1:].clone()}), r"is \["),
    }
    for fault, (change, words) in faults.items():
        p = copy(kind, tmp_path / fault)
        edit(tmp_path / fault, change)
        with pytest.raises(ValueError, match=f"^student: .*{words}"):
            check_student.check(p)


def test_an_expert_of_another_number_does_not_take_a_lost_ones_place(tmp_path):
    p = copy("experts", tmp_path / "student")
    parts = [f"model.layers.0.mlp.experts.{{}}.{part}.weight" for part in ("gate_proj", "up_proj")]

    def change(found):
        for part in parts:
            rename(part.format(1), part.format(4))(found)

    edit(tmp_path / "student", change)
    student.load(p)  # Transformers moves those after it up, and has as many as it wants
    with pytest.raises(ValueError, match=r"lack model\.layers\.0\.mlp\.experts\.4\.down_proj"):
        check_student.check(p)


def first_shard(folder):
    return sorted(folder.glob("*.safetensors"))[0]


def without_the_first_tensor(folder):
    found = load_file(first_shard(folder))
    found.pop(min(found))
    save_file(found, first_shard(folder))


@pytest.mark.parametrize("kind", KINDS)
def test_shards_are_those_of_their_index(kind, tmp_path):
    faults = [
        (lambda f: first_shard(f).unlink(), r"00001-of-\d+\.safetensors is not there"),
        (lambda f: cut(first_shard(f).name)(f), r"00001-of-\d+\.safetensors is damaged"),
        (without_the_first_tensor, "00001-of-.* lacks .*, which .*index.json says is there"),
        (lambda f: (f / sources.INDEX).unlink(), f"lacks its shards' {sources.INDEX}"),
        (put(sources.INDEX, POINTER), "index.json is a Git LFS pointer"),
        (put(sources.INDEX, "{}"), "index.json has no weight_map of tensors and files"),
    ]
    for i, (change, words) in enumerate(faults):
        p = sharded(kind, tmp_path / str(i))
        check_student.check(p)
        change(tmp_path / str(i))
        with pytest.raises(ValueError, match=f"^student: .*{words}"):
            check_student.check(p)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    p = sharded("dense", tmp_path / "student")
    one, other, *_ = sorted((tmp_path / "student").glob("*.safetensors"))
    save_file(load_file(one) | load_file(other), other)
    with pytest.raises(ValueError, match="and so has another file of the same weights"):
        check_student.check(p)


def test_an_adapter_is_no_student(tmp_path):
    base = {"base_model_name_or_path": "meta-llama/Llama-3.1-8B-Instruct"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(base))
    p = tiny(student=str(tmp_path), student_size="full", chat_template="llama3")
    with pytest.raises(
        ValueError,
        match=r"is an adapter, not a student; set adapter to it, and student to the model that .* "
        "meta-llama/Llama-3.1-8B-Instruct",
    ):
        check_student.check(p)


@pytest.mark.parametrize("kind", KINDS)
def test_sound_students_of_all_layouts_pass(kind, tmp_path):
    for dtype in ("float32", "bfloat16"):
        p = copy(kind, tmp_path / dtype)
        model = student.load(p).to(getattr(torch, dtype))
        for fused in (True, False):
            model.save_pretrained(tmp_path / dtype, save_original_format=not fused)
            check_student.check(p)
    p = copy(kind, tmp_path / "bin")
    held = load_file(tmp_path / "bin" / WEIGHTS)
    torch.save(held, tmp_path / "bin" / check_student.BIN)
    (tmp_path / "bin" / WEIGHTS).unlink()
    check_student.check(p)
    held.pop("lm_head.weight")
    torch.save(held, tmp_path / "bin" / check_student.BIN)
    with pytest.raises(ValueError, match=r"lack lm_head\.weight"):
        check_student.check(p)
    cut(check_student.BIN)(tmp_path / "bin")
    with pytest.raises(ValueError, match=f"{check_student.BIN} is damaged or cut off"):
        check_student.check(p)


def test_what_transformers_documents_may_lack_or_be_there(tmp_path):
    p = copy("dense", tmp_path / "student")
    config(tie_word_embeddings=True)(tmp_path / "student")
    edit(tmp_path / "student", lambda found: found.pop("lm_head.weight"))
    old = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)}
    edit(tmp_path / "student", lambda found: found.update(old))
    check_student.check(p)
    student.load(p)
    config(tie_word_embeddings=False)(tmp_path / "student")
    with pytest.raises(ValueError, match=r"lack lm_head\.weight"):
        check_student.check(p)


def test_the_pocket_student_is_whole_and_checked_once(monkeypatch):
    p = params.pocket()
    check_student.check_folder(p)
    monkeypatch.setattr(integrity, "shapes", lambda *_: pytest.fail("it is looked at again"))
    check_student.check_folder(p)


@pytest.mark.parametrize("kind", KINDS)
def test_the_load_itself_is_looked_at_too(kind, tmp_path):
    p = copy(kind, tmp_path / "student")
    edit(tmp_path / "student", lambda found: found["lm_head.weight"].fill_(float("inf")))
    check_student.check(p)
    with pytest.raises(ValueError, match=r"lm_head\.weight of .* holds NaN or infinity; copy"):
        student.load(p)
    edit(tmp_path / "student", lambda found: found.pop("lm_head.weight"))
    with pytest.raises(
        ValueError, match=r"lack lm_head\.weight, and what is missing would be rand"
    ):
        student.load(p)


def test_before_data_are_prepared_answers_made_or_plans(tmp_path, runs_dir, monkeypatch):
    p = copy("dense", tmp_path / "student")
    cut(WEIGHTS)(tmp_path / "student")
    monkeypatch.setattr(train.student, "load", lambda *_, **__: pytest.fail("it was loaded"))
    monkeypatch.setattr(evaluate, "load_tasks", lambda *_: pytest.fail("tasks were read"))
    for work in (train.prepare, evaluate.evaluate):
        with pytest.raises(ValueError, match=f"^student: .*{WEIGHTS} is damaged or cut off"):
            work(p)
    assert not runs_dir.exists()
    changes = {"student": p.student, "student_size": "full", "chat_template": "llama3"}
    with pytest.raises(ValueError, match=f"^student: .*{WEIGHTS} is damaged or cut off"):
        plan.plan_files([str(paths.PARAMS_DIR / "run09.yaml")], changes=changes)


def test_tiny_names_a_broken_config_too(tmp_path):
    (tmp_path / "config.json").write_text("{bad")
    with pytest.raises(ValueError, match=r"^student: .*config\.json is not valid JSON"):
        sources.source(tiny(student=str(tmp_path), chat_template="llama3"))
