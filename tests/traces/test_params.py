from dataclasses import asdict, fields

import nbformat
import pytest

from distill_nb import params
from distill_nb.params import STUDY
from distill_nb.runtime import paths
from distill_nb.traces import params as trace_params
from distill_nb.traces.params import TraceParams

POCKET = dict(trace_params.pocket_values())
R1 = {"dataset": "r1_math", "source": "hub"}
SETS = ["traces_r1_math", "traces_r1_code", "traces_sonnet_math", "traces_sonnet_code"]


def file(name):
    return params.read_files(f"{name}.yaml")


@pytest.mark.parametrize("name", SETS)
def test_the_four_sets_of_the_study_are_complete_and_valid(name):
    values = file(name)
    assert set(values) == {f.name for f in fields(TraceParams)}
    p = trace_params.validate(values, name)
    assert (p.dataset, p.scale, p.n_examples, p.max_length) == (
        name.removeprefix("traces_"),
        "full",
        25_200,
        4096,
    )
    assert set(p.decontaminate) == set(STUDY) and p.seed == 0
    run = params.read_files(
        {
            "r1_math": "run01.yaml",
            "r1_code": "run02.yaml",
            "sonnet_math": "run09.yaml",
            "sonnet_code": "run10.yaml",
        }[p.dataset]
    )
    assert run["dataset"] == p.dataset and p.n_examples == run["n_examples"] + run["n_heldout"]
    assert run["max_length"] == p.max_length


@pytest.mark.parametrize("name", SETS[:2])
def test_an_overlay_makes_any_of_r1s_sets_small(name):
    p = trace_params.validate(file(name) | file("traces_tiny"))
    run = params.read_files("run01.yaml", "tiny.yaml")
    assert (p.scale, p.max_length) == ("tiny", run["max_length"])
    assert p.n_examples == run["n_examples"] + run["n_heldout"]


@pytest.mark.parametrize("domain", ["math", "code"])
def test_the_generators_sets_are_whole_and_in_the_hubs_shape(domain):
    values, run = file(f"traces_generator_{domain}"), file(f"pocket_{domain}")
    assert list(values) == list(file(f"traces_r1_{domain}"))
    p = trace_params.validate(values)
    assert (p.dataset, p.shape, p.scale) == (f"generator_{domain}", f"r1_{domain}", "pocket")
    assert (p.n_examples, p.max_length) == (run["n_examples"] + run["n_heldout"], run["max_length"])
    same = params.validate(run | {"dataset": p.dataset})  # a run can learn from it
    whose = params.traces_of(same.teacher, same.dataset, same.scale)
    assert whose == "generator, thinking"


def test_the_notebooks_defaults_are_the_pocket_set():
    cell = nbformat.read(paths.ROOT / "notebooks" / "traces.ipynb", 4).cells[1]
    namespace = {}
    exec(cell.source, namespace)
    assert asdict(trace_params.from_notebook(namespace)) == POCKET
    assert file("traces_generator_math") == POCKET


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "r1"}, "dataset is 'r1', which names no set: write <teacher>_math or"),
        ({"n_example": 1}, "n_example = 1 is no parameter: write n_examples"),
        ({"near_duplicate": 1.5}, "at most 1"),
        ({"config": "split_0"}, "choose from default, extended, all"),
        ({"scale": "full"}, "source is 'pocket' but scale is 'full': set scale to pocket"),
        ({"dataset": "r1_math", "scale": "full"}, "set it to hub, or to a file"),
        ({"source": "hub"}, "set it to pocket, or dataset to r1_math"),
        ({"dataset": "r1_math"}, "source is 'pocket' but dataset is 'r1_math': name the set gen"),
        (R1 | {"source": "nowhere"}, "source is 'nowhere', which does not exist"),
        (R1 | {"scale": "full"}, "without math500: a full set is kept clean of all of"),
        (
            {"dataset": "sonnet_math"},
            "teacher_api is 'none' but dataset is 'sonnet_math': name the API",
        ),
        ({"teacher_api": "openai"}, "set it to none"),
        (
            {
                "dataset": "sonnet_math",
                "teacher_api": "anthropic",
                "config": "none",
                "source": "r1_math",
            },
            "name the model",
        ),
        (
            {
                "dataset": "sonnet_math",
                "teacher_api": "openai",
                "config": "none",
                "source": "r1_math",
                "teacher_model": "claude-sonnet-4-5",
            },
            "set it to messages",
        ),
        (
            {
                "dataset": "sonnet_math",
                "teacher_api": "anthropic",
                "config": "none",
                "teacher_model": "claude-sonnet-4-5",
            },
            "say whose problems",
        ),
        (
            {
                "dataset": "sonnet_math",
                "teacher_api": "anthropic",
                "config": "none",
                "teacher_model": "claude-sonnet-4-5",
                "source": "r1_code",
            },
            "choose r1_math, or a file",
        ),
        (
            {"dataset": "generator_code", "config": "split_0", "verify": "regrade"},
            "generator_code has no tests to grade by",
        ),
        ({"statements": {"taco": "x"}}, "where 'taco' is unknown"),
        ({"statements": {"taco/train": "x"}}, "does not exist"),
        ({"benchmark_files": {"math500": "x"}}, "the file of math500 does not exist"),
    ],
)
def test_what_cannot_stand_is_refused_in_one_sentence(changes, words):
    with pytest.raises(ValueError) as error:
        trace_params.validate(POCKET | changes, "my.yaml")
    message = str(error.value)
    assert (
        message.startswith("my.yaml: ")
        and words in message
        and message.endswith(".")
        and "\n" not in message
    )


def test_a_teacher_of_ones_own_is_asked_the_same_problems():
    p = trace_params.validate(
        file("traces_sonnet_math")
        | {
            "dataset": "qwq-32b_math",
            "teacher_api": "openai",
            "teacher_mode": "messages",
            "teacher_model": "Qwen/QwQ-32B",
            "teacher_url": "http://127.0.0.1:8000/v1",
            "thinking_budget": 0,
        }
    )
    assert (
        trace_params.teacher_and_domain(p.dataset) == ("qwq-32b", "math") and p.source == "r1_math"
    )
    own = {"teacher": "qwq-32b", "dataset": p.dataset, "run_name": "qwq_math"}
    run = params.validate(params.read_files("run09.yaml") | own)
    assert run.dataset == "qwq-32b_math"


def test_a_notebook_at_full_scale_needs_every_key():
    with pytest.raises(ValueError, match=r"^notebook: \w+ is missing: set it \("):
        trace_params.from_notebook({"dataset": "r1_math", "scale": "full"})
    with pytest.raises(ValueError, match="n_exampels"):
        trace_params.from_notebook({"scale": "pocket", "n_exampels": 3})
