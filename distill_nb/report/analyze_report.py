"""What analyze.ipynb needs of the folder of a scale: its place, and a record of the analysis."""

from pathlib import Path

from distill_nb.analysis.params import AnalysisParams
from distill_nb.runtime import paths, provenance


def folder_of(p: AnalysisParams) -> Path:
    """The folder with the runs of the scale."""
    return paths.runs() / p.scale


def write_provenance(p: AnalysisParams, notebook: str) -> None:
    """Write what made the analysis; nothing where there are no runs."""
    provenance.write_analysis(p, folder_of(p), notebook)
