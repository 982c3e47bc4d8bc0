"""What a stage is made of: values and contents, not files and times."""

import shutil

import pytest

from distill_nb import params
from distill_nb.runtime import paths
from distill_nb.study import graph, ingredients, notebooks, tiny
from distill_nb.study.graph import Stage
from distill_nb.traces import params as trace_params

TRAIN, EVAL = Stage("full", "llama8b_math_4k", "train"), Stage("full", "llama8b_math_4k", "eval")


def forget():
    graph.forget()
    for function in (
        notebooks.declared,
        ingredients.ingredients,
        ingredients._sha256,
        ingredients._hash_of_folder,
        ingredients._hash,
    ):
        function.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch, runs_dir):
    """Parameter files of this test's own, and an empty runs folder."""
    shutil.copytree(paths.PARAMS_DIR, tmp_path / "papermill_params")
    monkeypatch.setattr(paths, "PARAMS_DIR", tmp_path / "papermill_params")
    forget()
    yield tmp_path / "papermill_params"
    forget()


def hashes(*stages):
    forget()
    return [ingredients.hash_of(stage) for stage in stages]


def edit(file, old, new):
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))


def test_a_stage_is_made_of_the_parameters_that_its_notebook_declares(folder):
    before = hashes(TRAIN, EVAL)
    edit(folder / "run07.yaml", "max_new_tokens: 8192", "max_new_tokens: 4096")
    after = hashes(TRAIN, EVAL)
    assert after[0] == before[0] and after[1] != before[1]
    edit(folder / "run07.yaml", "lora_rank: 32", "lora_rank: 16")
    assert hashes(TRAIN)[0] != before[0] and hashes(EVAL)[0] != after[1]  # its adapters are others
    edit(folder / "run07.yaml", "lora_rank: 16", "lora_rank: 32")
    edit(
        folder / "run07.yaml",
        "max_new_tokens: 4096",
        "max_new_tokens:  8192  # as it was, and in other words",
    )
    edit(folder / "run07.yaml", "overwrite: false", "overwrite: true")
    assert hashes(TRAIN, EVAL) == before


def test_templates_count_for_the_page_of_an_evaluation_and_not_for_its_results(folder):
    files = {
        f"distill_nb/report/templates/distill_nb/{f}" for f in ("flips.css", "model_card.md.j2")
    }
    assert files <= set(ingredients.ingredients(EVAL))
    assert not files & set(ingredients.ingredients(EVAL, page=False))


def test_traces_of_ones_own_count_by_their_content(folder, tmp_path):
    def with_traces(text):
        (tmp_path / "own.jsonl").write_text(text)
        return hashes(TRAIN)[0]

    edit(folder / "run07.yaml", "dataset: r1_math", f"dataset: {tmp_path}/own.jsonl")
    first = with_traces("one")
    assert with_traces("two") != first == with_traces("one")


def test_a_local_file_counts_by_its_content_and_not_by_its_place(folder, tmp_path):
    def with_file(name, text):
        file = tmp_path / name / "math500.jsonl"
        file.parent.mkdir()
        file.write_text(text)
        shutil.copy(original, folder / "run07.yaml")
        edit(folder / "run07.yaml", "benchmark_files: {}", f"benchmark_files: {{math500: {file}}}")
        return hashes(EVAL)[0]

    original = shutil.copy(folder / "run07.yaml", tmp_path / "original.yaml")
    one, same, other = with_file("a", "text"), with_file("b", "text"), with_file("c", "changed")
    assert one == same != other


def test_the_files_in_a_students_or_an_adapters_folder_count(folder, tmp_path):
    place = tmp_path / "model"
    place.mkdir()
    (place / "config.json").write_text("{}")
    before = hashes(TRAIN, EVAL)
    edit(folder / "run07.yaml", "student: meta-llama/Llama-3.1-8B-Instruct", f"student: {place}")
    local = hashes(TRAIN, EVAL)
    (place / "model.safetensors").write_bytes(b"weights")
    after = hashes(TRAIN, EVAL)
    assert all(len(set(three)) == 3 for three in zip(before, local, after, strict=True))
    edit(folder / "run07.yaml", f"student: {place}", "student: meta-llama/Llama-3.1-8B-Instruct")
    edit(folder / "run07.yaml", "adapter: none", f"adapter: {place}")
    with_adapter = hashes(TRAIN, EVAL)
    (place / "adapter_model.safetensors").write_bytes(b"others")
    assert (
        hashes(TRAIN)[0] == with_adapter[0] == before[0]
        and hashes(EVAL)[0] != with_adapter[1] != before[1]
    )


def test_what_the_graph_makes_itself_changes_nothing_by_being_there(folder):
    stages = [
        Stage("tiny", "traces/sonnet_math", "traces"),
        Stage("tiny", "llama8b_math_4k", "eval"),
    ]
    before = hashes(*stages)
    for name in ("math500", "aime", "mbpp_plus", "humaneval_plus", "livecodebench"):
        tiny.write(name, tiny.folder())
    assert hashes(*stages) == before


def test_a_data_set_made_again_from_other_rows_reaches_the_evaluation(folder, tmp_path):
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "part.parquet").write_text("one")
    edit(folder / "traces_r1_math.yaml", "source: hub", f"source: {rows}")
    other = Stage("full", "llama8b_code_4k", "eval")
    before = hashes(TRAIN, EVAL, other)
    (rows / "part.parquet").write_text("two")
    after = hashes(TRAIN, EVAL, other)
    assert after[0] != before[0] and after[1] != before[1] and after[2] == before[2]


def test_the_grid_is_the_study(folder):
    stages = graph.grid("full")
    names = ("traces", "train", "eval", "analyze", "published")
    assert [sum(s.name == name for s in stages) for name in names] == [4, 10, 13, 1, 1]
    assert graph.needs(Stage("full", "traces/sonnet_math", "traces")) == (
        Stage("full", "traces/r1_math", "traces"),
    )
    assert (
        graph.needs(EVAL) == (TRAIN,) and graph.needs(Stage("full", "baseline_llama", "eval")) == ()
    )
    assert len(graph.needs(Stage("full", "report", "analyze"))) == 13
    assert graph.needs(Stage("full", "report", "published")) == ()
    # generated traces need no set
    assert list(map(str, graph.grid("pocket"))) == [
        "pocket_math/train",
        "pocket_code/train",
        "pocket_math/eval",
        "pocket_code/eval",
        "report/published",
        "report/analyze",
    ]
    assert graph.baselines(Stage("pocket", "pocket_math", "eval")) == ()
    ordered = graph.everything("tiny")
    assert len(ordered) == len(set(ordered)) == 31
    assert all(
        ordered.index(need) < i for i, stage in enumerate(ordered) for need in graph.needs(stage)
    )


def test_a_run_from_traces_of_its_own_keeps_them_at_every_scale(folder):
    shutil.copy(folder / "run07.yaml", folder / "extra" / "own.yaml")
    for old, new in (
        ("run_name: llama8b_math_4k", "run_name: own"),
        ("teacher: r1", "teacher: mine"),
        ("dataset: r1_math", "dataset: traces.jsonl"),
    ):
        edit(folder / "extra" / "own.yaml", old, new)
    forget()
    values = [graph.values(Stage(scale, "own", "train")) for scale in ("full", "tiny")]
    found = [(v["dataset"], v["n_examples"]) for v in values]
    assert found == [("traces.jsonl", 25000), ("traces.jsonl", 16)]
    assert graph.needs(Stage("full", "own", "train")) == ()
    benchmarks = (Stage("tiny", "fixtures", "fixtures"),)  # its files must be there before training
    assert graph.needs(Stage("tiny", "own", "train")) == benchmarks
    tiny_run = graph.parameters(Stage("tiny", "own", "train"))
    assert params.traces_of(*(tiny_run[k] for k in ("teacher", "dataset", "scale"))) == "mine"


def test_replicates_and_runs_beyond_the_study_are_stages_too(folder):
    beyond = params.read_files(folder / "extra" / "run07_lr4.yaml")
    replicate = Stage("full", "llama8b_math_4k_seed2", "train")
    assert graph.values(replicate) == graph.values(TRAIN) | {"seed": 2} and hashes(
        replicate
    ) != hashes(TRAIN)
    assert graph.files(Stage("tiny", beyond["run_name"], "eval")) == [
        "extra/run07_lr4.yaml",
        "tiny.yaml",
    ]
    seed = Stage("pocket", "pocket_code_seed3", "train")
    assert graph.files(seed) == ["pocket_code.yaml"] and graph.values(seed)["seed"] == 3
    for scale, name in (("pocket", "llama8b_math_4k"), ("tiny", "pocket_math")):
        with pytest.raises(ValueError, match=f"has the run_name {name} at this scale"):
            graph.files(Stage(scale, name, "train"))
    with pytest.raises(
        ValueError,
        match=r"published\.yaml has the run_name llama8b_mat at this scale: write llama8b_math_4k",
    ):
        graph.values(Stage("full", "llama8b_mat", "train"))
    edit(folder / "run08.yaml", "run_name: llama8b_code_4k", "run_name: llama8b_math_4k")
    forget()
    with pytest.raises(
        ValueError, match=r"run08\.yaml: run_name is llama8b_math_4k, and so is that of run07\.yaml"
    ):
        graph.values(TRAIN)


def test_a_stage_needs_as_many_gpus_as_its_processes_or_engines(folder):
    assert graph.gpus_of(TRAIN) == graph.gpus_of(EVAL) == 1
    edit(folder / "run07.yaml", "tensor_parallel: 1", "tensor_parallel: 2")
    edit(folder / "run07.yaml", "data_parallel: 1", "data_parallel: 4")
    edit(folder / "run07.yaml", "train_processes: 1", "train_processes: 2")
    assert (graph.gpus_of(TRAIN), graph.gpus_of(EVAL)) == (2, 8)


def test_a_tiny_set_of_any_api_teacher_asks_the_stand_in_and_nobody_else(folder):
    file = folder / "traces_qwq_math.yaml"
    file.write_text((folder / "traces_sonnet_math.yaml").read_text())
    for old, new in (
        ("dataset: sonnet_math", "dataset: qwq_math"),
        ("teacher_api: anthropic", "teacher_api: openai"),
        ("teacher_url: none", "teacher_url: http://here:1/v1"),
        ("trace_from: text", "trace_from: thinking"),
    ):
        edit(file, old, new)
    tiny = Stage("tiny", "traces/qwq_math", "traces")
    assert graph.asks_the_stand_in(tiny) and not graph.asks_the_stand_in(
        Stage("full", "traces/qwq_math", "traces")
    )
    asked = trace_params.validate(
        trace_params.pocket_values() | graph.values(tiny) | {"benchmark_files": {}}
    )
    assert (asked.teacher_api, asked.teacher_url, asked.source) == ("anthropic", "none", "r1_math")


def test_a_benchmark_of_ones_own_counts_by_its_content(folder, tmp_path):
    file = tmp_path / "sums.py"
    file.write_text("GRADER = 'math'\n")
    before = hashes(EVAL)
    edit(folder / "run07.yaml", "benchmarks: [", f"benchmarks: [{file}, ")
    named = hashes(EVAL)
    file.write_text("GRADER = 'choice'\n")
    assert len({before[0], named[0], hashes(EVAL)[0]}) == 3
