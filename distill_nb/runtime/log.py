"""What the package says goes through `logging`, one logger per module. A notebook, a command or a
worker shows it as plain lines; a program that only imports the package decides for itself."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path


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


@contextlib.contextmanager
def kept(file: Path) -> Iterator[None]:
    """Append what the package says meanwhile to a file, from INFO on, and what ended the work where
    that was an exception; each line with its time in UTC. What is shown does not change."""
    file.parent.mkdir(parents=True, exist_ok=True)
    logger, handler = logging.getLogger("distill_nb"), logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))
    handler.formatter.converter = time.gmtime  # type: ignore[union-attr]
    handler.setLevel(logging.INFO)
    level = logger.level
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    except BaseException as error:
        said = " ".join(str(error).split()) or type(error).__name__
        handler.handle(logging.makeLogRecord({"msg": said, "levelno": logging.ERROR}))
        raise
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
