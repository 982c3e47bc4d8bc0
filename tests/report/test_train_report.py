"""What train.ipynb shows of a run is on disk, and shown again when the run is finished."""

import json

import nbformat
import pytest
from helpers import tiny
from test_notebooks import papermill

from distill_nb.report import train_report
from distill_nb.runtime import paths
from distill_nb.training import train

OLD = ("step", "loss", "heldout_loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """(the notebook of a tiny run, the same executed again, the run's folder)"""
    folder = tmp_path_factory.mktemp("executed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_NB_RUNS", str(folder / "runs"))
        found = []
        for name in ("first", "again"):
            done = papermill("train", folder / f"{name}.ipynb", "run09", "tiny", cwd=folder)
            assert done.returncode == 0, done.stderr[-3000:]
            found.append(nbformat.read(folder / f"{name}.ipynb", 4))
        return *found, paths.run_dir(tiny())


def shown(notebook, cell):
    """The outputs of a cell: texts, and the descriptions and data of figures."""
    outputs = next(c for c in notebook.cells if c.id == cell).outputs
    texts = "\n".join(o.get("text", "") + o.get("data", {}).get("text/html", "") for o in outputs)
    return texts, [o.metadata["image/svg+xml"] for o in outputs if o.get("metadata")]


def test_a_finished_run_that_is_executed_again_shows_its_plan_log_and_figures(executed):
    first, again, _ = executed
    for cell in ("train-12", "course-plot", "lengths-plot", "train-11"):
        assert shown(first, cell) == shown(again, cell) != ("", [])
    plans = [shown(notebook, "train-16")[0] for notebook in (first, again)]
    table = plans[0][plans[0].index("<table") : plans[0].index("</table>")]
    assert "memory: peak" in table and table in plans[1]
    assert "It was trained with this plan:" in plans[1]
    logs = [shown(notebook, "train-09")[0] for notebook in (first, again)]
    assert "nothing to train" in logs[1]
    kept = logs[0][logs[0].index("<details") :]
    assert kept == logs[1][logs[1].index("<details") :]
    assert "with hf on cpu: 4 steps of 4" in kept and "is trained: 4 steps" in kept


def test_every_figure_has_a_description_and_data(executed):
    figures = shown(executed[0], "course-plot")[1]
    words = [figure["alt"] for figure in figures]
    for start in ("The norm of the gradient", "Tokens per second and memory", "What a micro-batch",
                  "What the run's time went to"):  # fmt: skip
        assert sum(text.startswith(start) for text in words) == 1
    assert len(figures) == 4 and all(len(figure["csv"].splitlines()) > 4 for figure in figures)
    (loss,) = shown(executed[0], "train-12")[1]
    assert loss["csv"].splitlines()[0] == "step,loss,loss_smoothed,heldout_loss"


def test_a_run_of_an_earlier_version_is_readable_and_says_what_is_missing(
    executed, runs_dir, capsys
):
    p, folder = tiny(), paths.run_dir(tiny())
    folder.mkdir(parents=True)
    lines = [json.loads(line) for line in (executed[2] / "metrics.jsonl").read_text().splitlines()]
    old = [json.dumps({key: line[key] for key in OLD}) + "\n" for line in lines]
    (folder / "metrics.jsonl").write_text("".join(old))
    record = json.loads((executed[2] / "provenance_train.json").read_text())
    for key in ("plan", "resumed_at"):
        del record[key]
    (folder / "provenance_train.json").write_text(json.dumps(record))
    metrics = train.load_metrics(p)
    assert train_report.show_plan(p) == {}
    train_report.show_log(p)
    train_report.show_course(p, metrics)
    said = capsys.readouterr().out
    assert "which did not keep its plan" in said and "which kept no log" in said
    assert "which did not record: memory, what a micro-batch held, what the time went to." in said
    assert list(train_report.in_numbers(p, metrics).index) == [
        "loss (nats per token)", "gradient norm", "tokens per second",
    ]  # fmt: skip


def test_the_starts_of_a_run_are_a_table():
    device = {"kind": "cpu", "name": "a processor", "count": 2}
    one = {"started_at": "2026-01-02T03:04:05.678+00:00", "device": device, "backend": "hf"}
    record = one | {
        "resumed_at": 20, "seconds": 90.0, "recompute": "off",
        "sessions": [one | {"resumed_at": 0, "seconds": None, "recompute": "on"}],
    }  # fmt: skip
    table = train_report.starts(record)
    assert table["at step"].tolist() == ["0", "20"]
    assert table["minutes"].tolist() == ["interrupted", "1.5"]
    assert table["started (UTC)"][0] == "2026-01-02 03:04:05"
    assert table["activations recomputed"].tolist() == ["on", "off"]
    assert train_report.starts({}).empty
