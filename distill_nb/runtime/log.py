"""What the package says while it works goes through `logging`, one logger per module.

A notebook, a command or a worker process shows it as plain lines; a program that only imports the
package decides for itself, as with any library.
"""

from __future__ import annotations

import logging
import sys


class _Stdout(logging.StreamHandler):
    """Writes to what standard output is at the moment: a notebook and pytest replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self):
        return sys.stdout


def show(level: int = logging.INFO) -> None:
    """Show the package's messages from `level` on, one plain line each, on standard output."""
    logger = logging.getLogger("distill_nb")
    logger.setLevel(level)
    if not any(isinstance(handler, _Stdout) for handler in logger.handlers):
        logger.addHandler(_Stdout())
