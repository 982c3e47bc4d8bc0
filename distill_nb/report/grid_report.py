"""What analyze.ipynb shows of settings that runs were repeated with, such as learning rates: whose
a difference is, the heat map, and the best setting with what choosing it costs."""

from __future__ import annotations

from pathlib import Path

from pandas import DataFrame

from distill_nb.analysis import grid, grid_choice, grid_effects, margins, results
from distill_nb.report import grid_figures, style, tables

NOTHING = "No run was repeated with another learning rate, rank, or other setting of training."


def show(records: DataFrame, folder: Path, margin: float = margins.MARGIN) -> None:
    """Show the grids of `results.load_records` of the scale in `folder`, in a notebook; where there
    is none, one sentence."""
    from IPython.display import display

    parameters = results.training_parameters(folder)
    found = list(grid.grids(records, parameters))
    if not found:
        display(tables.sentences(NOTHING, ""))
        return
    effects = grid_effects.effects(found, margin)
    said = grid_effects.sentences(effects, margin)
    display(tables.sentences(said, "Each difference, and whose it is, in words"))
    chosen = list(grid.grids(records, parameters, choosing_only=True))
    choices = [choice for choice in map(grid_choice.choose, chosen) if choice]
    if choices:
        said = grid_choice.sentences(choices)
        display(tables.sentences(said, "The best setting of each student and domain, in words"))
        style.show(grid_figures.heat_map(choices))
    table = grid_choice.table(choices, grid_choice.heldout_losses(folder))
    if len(table):  # a tenth says little of a loss
        table["heldout_loss"] = table["heldout_loss"].map("{:.3f}".format)
    display(tables.show(table, "Too few problems for two halves."))
    display(tables.folded({"Whose each difference is, in points": effects}))
