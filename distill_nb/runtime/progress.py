"""Progress bars: widgets in Jupyter, text in terminals and in notebooks that a command executes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm.std import tqdm

AS_TEXT = {"DISTILL_NB_PROGRESS": "text"}  # in the environment of a kernel


def bar(**options) -> tqdm:
    """A tqdm bar; options as tqdm's (total, initial, desc, unit, …)."""
    from tqdm.auto import tqdm as automatic
    from tqdm.std import tqdm as text

    class Text(text):
        def close(self) -> None:
            super().close()
            if not self.disable:  # one that is not shown has no stream
                self.fp.flush()  # its line has ended before the other stream goes on

    as_text = os.environ.items() >= AS_TEXT.items()
    return (Text if as_text else automatic)(**options)
