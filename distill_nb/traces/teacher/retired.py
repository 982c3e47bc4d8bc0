"""Teachers that their vendor serves no more: papermill_params/prices.yaml dates them."""

from __future__ import annotations

import datetime
import os

from distill_nb import params
from distill_nb.runtime import paths

FILE, SERVER = "papermill_params/prices.yaml", "ANTHROPIC_BASE_URL"


def sentence(model: str, url: str, dataset: str, today: datetime.date | None = None) -> str:
    """Why a teacher can't be asked, who is nearest to it and which file asks that one; "" where it
    can be.

    url: teacher_url, "" or none for the vendor's own; another server, which the SDK's environment
    variable may name too, may serve a model for longer, so its answer counts. dataset: the set that
    it was to make. today: a date, instead of this day's. Raises ValueError for a table that cannot
    be used."""
    table = params.read_files(paths.PARAMS_DIR / "prices.yaml").get("retired") or {}
    known = table.get(model)
    elsewhere = url not in ("", "none") or os.environ.get(SERVER)
    if known is None or elsewhere:
        return ""
    try:
        last, nearest, file = (
            datetime.date.fromisoformat(known["since"]),
            known["nearest"],
            known["file"],
        )
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{FILE}: retired has {known!r} for {model}; write since (a date in quotes, "
            'as in "2026-11-30"), nearest (a model) and file.'
        ) from None
    if (today or datetime.date.today()) < last:
        return ""
    domain = dataset.rpartition("_")[2]
    return (
        f"teacher_model: {model} retired on {last} and can't be asked any more; the "
        f"nearest teacher is {nearest}, and papermill_params/{file.format(domain=domain)} asks it."
    )


def refuse(model: str, url: str, dataset: str) -> None:
    """Raises ValueError for a teacher that can't be asked any more."""
    if why := sentence(model, url, dataset):
        raise ValueError(why)
