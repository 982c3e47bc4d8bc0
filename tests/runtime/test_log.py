"""The package's messages are plain lines where somebody wants to see them, and silent elsewhere."""

import logging
import subprocess
import sys

import pytest

from distill_nb.runtime import log, paths


@pytest.fixture
def package():
    """The package's logger, as before when the test is over."""
    logger = logging.getLogger("distill_nb")
    handlers, level = logger.handlers[:], logger.level
    logger.handlers, logger.level = [], logging.NOTSET
    yield logger
    logger.handlers, logger.level = handlers, level


def test_messages_are_plain_lines_on_standard_output_each_once(package, capsys):
    log.show()
    log.show()
    logging.getLogger("distill_nb.training.train").info("step %d of %d", 3, 4)
    logging.getLogger("distill_nb.training.train").debug("a detail")
    logging.getLogger("another.package").info("nothing of ours")
    assert capsys.readouterr() == ("step 3 of 4\n", "")


def test_they_go_to_what_standard_output_is_now(package, capsys):
    log.show()
    with capsys.disabled():
        before = sys.stdout  # the cell of a notebook that ran show has had its own
    logging.getLogger("distill_nb").info("here")
    assert sys.stdout is not before and capsys.readouterr().out == "here\n"


def test_less_or_more_can_be_shown(package, capsys):
    log.show(logging.WARNING)
    logging.getLogger("distill_nb.a").info("left out")
    log.show(logging.DEBUG)
    logging.getLogger("distill_nb.a").debug("a detail")
    assert capsys.readouterr().out == "a detail\n"


def test_a_program_that_only_imports_the_package_sees_nothing():
    program = (
        "import logging; from distill_nb import params; from distill_nb.runtime import log\n"
        "logging.getLogger('distill_nb.a').info('one')\n"
        "log.show(); logging.getLogger('distill_nb.a').info('two')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=paths.ROOT, check=True
    )
    assert (done.stdout, done.stderr) == ("two\n", "")
