"""Why a run could have ended otherwise without neighbours, so that it is worth another one.

What is decided here a candidate may notice, by a second run. So it depends on the candidate's end
and not on its values, or on all of them together: a second run never tells that some are right."""

import signal

# of wall time beyond the processor time twice over: its own clocks may have run out meanwhile, or
# its threads were slow to end
WAITED = 1.0
KILLED = -signal.SIGKILL  # the exit status


def killed(end: dict, full: bool) -> str:
    """ "killed" where somebody else did it: not the worker, and not the kernel because it took more
    than all the memory that a candidate may have (full)."""
    own = end["stopped"] or (end["over"] and full)
    return "killed" if end["exit"] == KILLED and not own else ""


def cut_short(end: dict, failed_itself: bool, slack: float) -> str:
    """asleep, starved: stopped before it had its processor time, while it slept or waited for a
    processor; or it failed by itself, without a value, after it had waited for WAITED seconds. ""
    otherwise, and where it used up its slack."""
    if end["stopped"] == "asleep" and end["starved"]:
        return "starved"
    by_kill = end["exit"] == KILLED and not end["stopped"]  # by whom is for `killed` to say
    if slack == 1 or end["stopped"] == "timeout" or by_kill:
        return ""
    if end["stopped"] == "asleep":
        return "asleep"
    waited = end["wall"] - 2 * end["seconds"]
    ended = end["stopped"] in ("", "stopped")  # by itself, or as nothing more was to come
    return "starved" if failed_itself and ended and waited > WAITED else ""


def late(was: bool, outcomes: list[str], slack: float) -> str:
    """ "late" where all tests passed, one of them not in time."""
    return "late" if was and slack > 1 and set(outcomes) == {"correct"} else ""
