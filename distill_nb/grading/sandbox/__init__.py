"""A sandbox for model-written code, which is taken to be hostile.

    with Pool() as pool:  # pool.py; jobs.py says what a job is and what comes back
        results = pool.run([Job(code, function_tests("f", [[1], [2]], [2, 3])), …])

How it is built, from the outside in:
- The grader (this process) holds the expected values and never sends them. It sends code and inputs
  through a socket made for the one job, and reads frames of bytes back (run.py, wire.py). It keeps
  them until the candidate has ended (answers.py), so that none learns which values are right.
- The bytes are those of a closed codec, no pickle (codec.py). They are compared with the expected
  values by the benchmark's own rules (rules.py) in a disposable process with limits (compare.py).
- A worker per core (launch.py) is one long-lived process in bubblewrap (bubblewrap.py): own pid,
  network, ipc, uts and cgroup namespaces and an empty environment. Of the file system it sees only
  Python's library, the shared libraries needed, the packages allowed (packages.py) and the few
  files that it consists of, read-only, with a small tmpfs to write in (places.py). Root becomes a
  user that owns nothing and keeps no capability; any other user is in a user namespace. The worker
  dies with the thread that started it, and with the grader. Where there is no tmpfs, it writes in a
  temporary folder of its own (folders.py).
- The worker (worker.py) has the usual modules loaded and forks once for each candidate. It keeps
  the time (watch.py) and never sees code or values; how a candidate ended goes through it without
  becoming an object (report.py). So no candidate finds what another left.
- The child (child.py) puts limits on itself, then Landlock where the kernel has it, then seccomp
  (confine.py, seccomp.py), and only then runs the candidate. It has one process, so
  multiprocessing's locks are those of threads (locks.py).

Levels: the strongest at which a trial job runs is taken. `bubblewrap`; `landlock` (Landlock,
seccomp and limits, without namespaces; needs Linux 6.2); else RuntimeError, unless `allow_unsafe`
permits `process`, a plain process with limits, which is NO sandbox.

Neighbours: time is the candidate's own processor time. What waited for a processor, or was killed
by somebody else, runs again alone (doubts.py, pool.py), and is a grader_error if that happens there
too. Each worker has a control group of its own where one may be made (memory.py), and memory that
is no process's own is refused (seccomp.py, mappings.py). The workers' number follows the control
group's limits, and all graders of a user take turns in it (turns.py).

docs/sandbox.md says what is defended, what is not, and what honest code loses. Not limited: to
sleep below 10 s; with forged progress a candidate may spend the seconds of all its inputs on one.
At `landlock`, files that are deleted but open are bounded by their number alone.

Bindings considered: pyseccomp 0.1.2 needs libseccomp.so at run time and runs other programs to find
it; inside there is neither. landlock 1.0.0.dev5 lacks the network and signal rules of ABI 4 and 6,
and reads a stale errno. Five system calls are needed of both, made here with ctypes."""

from distill_nb.grading.sandbox.jobs import (
    FunctionTests,
    Job,
    ProgramTests,
    Result,
    assert_tests,
    function_tests,
    program_tests,
)
from distill_nb.grading.sandbox.pool import LEVELS, Pool, strongest_level, why_unavailable

__all__ = [
    "LEVELS",
    "FunctionTests",
    "Job",
    "Pool",
    "ProgramTests",
    "Result",
    "assert_tests",
    "function_tests",
    "program_tests",
    "strongest_level",
    "why_unavailable",
]
