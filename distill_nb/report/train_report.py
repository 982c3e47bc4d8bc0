"""What train.ipynb shows before it trains: the length ledger of its traces, and the plan of the
run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pandas import DataFrame

from distill_nb.params import Params
from distill_nb.plan import plan as planning
from distill_nb.plan.devices import Device
from distill_nb.plan.estimate import estimate
from distill_nb.report import tables
from distill_nb.runtime import paths, provenance
from distill_nb.traces import ledger

if TYPE_CHECKING:
    from distill_nb.training.train import Data


def length_ledger(p: Params, data: Data) -> DataFrame:
    """What max_length does to the traces of a run."""
    return ledger.table({p.student: data.ledger}).rename_axis("length ledger")


def show_plan(p: Params, data: Data | None = None, device: str | Device = "this") -> str:
    """Show the plan of a run that is not finished. Returns its decision whether to recompute, for
    train.train: on | off. Raises ValueError where the run does not fit."""
    from IPython.display import display

    file = paths.run_dir(p) / "provenance_train.json"
    before = provenance.read(file, "set overwrite: true to train it again")
    if before.get("finished") and not p.overwrite:
        print("This run is finished already: there is nothing to plan.")
        return p.recompute
    plan = estimate(p, device, data)
    display(tables.show(planning.table(plan)))
    print("; ".join(plan.notes) + ".")
    planning.refuse(p, plan)
    if plan.best_micro_batch_size > p.micro_batch_size:
        print(f"micro_batch_size {plan.best_micro_batch_size} would fit too.")
    return "on" if plan.recompute else "off"
