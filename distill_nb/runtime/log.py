"""What the package says goes through `logging`, one logger per module. A notebook, a command or a
worker shows it as plain lines; a program that only imports the package decides for itself."""

import logging
import sys


class _PlainLines(logging.Handler):
    """Errors go to standard error, all else to standard output, as notebook or pytest set them."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.ERROR else sys.stdout
        stream.write(self.format(record) + "\n")
        stream.flush()


def show(level: int = logging.INFO) -> None:
    """Show the package's messages from `level` on, one plain line each."""
    logger = logging.getLogger("distill_nb")
    logger.setLevel(level)
    if not any(isinstance(handler, _PlainLines) for handler in logger.handlers):
        logger.addHandler(_PlainLines())
