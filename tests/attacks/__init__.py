"""Programs that try to pass, to read, to write, to talk, or to outlive, without having solved
anything.

Each text file beside this one holds attacks of one kind; a line "### name" begins one. A function
is called as f(folder, port, grader): a folder that anybody may write to outside the sandbox, with a
file `secret` and a Unix socket `socket` in it; the port of a server on this machine; the grader's
process id. The secret is what f is expected to return, and the servers hand it out: whoever gets at
it passes. channels.txt is for two candidates, of whom one leaves what the other looks for. MARKER
stands for the argument of a `sleep` that nobody may leave behind."""

from pathlib import Path

MARKER = "9876543"

PRELUDE = """
import array, builtins, ctypes, gc, glob, mmap, os, re, resource, signal, socket, struct, sys
import threading, time
libc = ctypes.CDLL(None, use_errno=True)
SECRET = re.compile(rb"secret-[0-9a-f]{16}")

def quiet(function, *arguments, **named):
    try:
        return function(*arguments, **named)
    except BaseException as error:
        return error

def find(data):
    if isinstance(data, str):
        data = data.encode("utf-8", "replace")
    found = SECRET.search(data) if isinstance(data, (bytes, bytearray)) else None
    return found and found.group().decode()

def read(path):
    try:
        with open(path, "rb") as file:
            return find(file.read(10_000_000))
    except OSError:
        return None

def first(values):
    return next((v for v in values if v), None)

library = first((p for p in sys.path if os.access(p + "/os.py", os.R_OK)))
"""


def read(kind: str) -> dict[str, str]:
    """Name to source of the attacks of a kind."""
    text = Path(__file__).with_name(f"{kind}.txt").read_text().replace("MARKER", MARKER)
    return dict(part.split("\n", 1) for part in text.split("\n### ")[1:])


FUNCTIONS = {
    name: code
    for kind in ("reading", "forging", "exhausting", "acting")
    for name, code in read(kind).items()
}
PROGRAMS = read("programs")
CHANNELS = read("channels")
# these must pass
HONEST_FUNCTIONS, HONEST_PROGRAMS = (read("honest_functions"), read("honest_programs"))
