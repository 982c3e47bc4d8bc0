"""How a process confines itself, for good, before it runs a candidate: limits, Landlock, seccomp.

Landlock's constants are those of include/uapi/linux/landlock.h
(https://docs.kernel.org/userspace-api/landlock.html). In the sandbox: standard library only."""

import ctypes
import os
import struct
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
OLDEST_LANDLOCK = 3  # the first ABI that guards truncation (Linux 6.2)
READ_FILE, READ_DIR, WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
# reading, writing, removing (4, 5), making folders, files, links (7, 8, 12), moving, truncating
FILES_OF_A_FOLDER = sum(1 << bit for bit in (1, 2, 3, 4, 5, 7, 8, 12, 13, 14))

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, function: Callable[..., int], *arguments: int | ctypes.c_char_p) -> int:
    """Call a C function; raises OSError where it returns a negative number."""
    ctypes.set_errno(0)
    result = function(*(ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def prctl(option: int, value: int) -> None:
    """prctl(2) with one number."""
    _call(f"prctl {option}", _libc.prctl, option, value, 0, 0, 0)


def die_with_parent() -> None:
    """On Linux, be killed when the parent (the thread that started this process) ends."""
    if sys.platform == "linux":
        parent = os.getppid()
        prctl(PR_SET_PDEATHSIG, 9)
        if os.getppid() != parent:  # it ended in between
            os._exit(1)


def landlock_abi() -> int:
    """The kernel's Landlock version, or 0 where it has none or has it switched off."""
    if sys.platform != "linux":
        return 0
    try:
        return _call("landlock", _libc.syscall, LANDLOCK_CREATE_RULESET, 0, 0, 1)
    except OSError:
        return 0


def _readable(folder: str, hidden: list[str]) -> list[tuple[str, int]]:
    """(path, rights) of what can be read of a folder: all of it, or its entries except hidden ones.
    Rights reach everything below, so a folder that holds a hidden one only lists its names."""
    folder = os.path.realpath(folder)
    if folder in hidden or not os.path.exists(folder):
        return []
    if not any(h.startswith(folder.rstrip("/") + "/") for h in hidden):
        return [(folder, READ_FILE | READ_DIR)]
    with os.scandir(folder) as entries:  # a link's target has rights of its own, or none
        inside = [entry.path for entry in entries if not entry.is_symlink()]
    return [(folder, READ_DIR), *(found for path in inside for found in _readable(path, hidden))]


def landlock_rules(readable: list[str], writable: list[str], hidden: list[str]) -> int:
    """A file descriptor of Landlock rules: only these files and folders can be read and written,
    except the hidden ones' files; no TCP, no abstract socket, no signal leaves. Raises OSError."""
    abi = landlock_abi()
    everything = (1 << 13) - 1
    for since, right in ((2, 1 << 13), (3, 1 << 14), (5, 1 << 15)):
        everything |= right if abi >= since else 0
    attributes = struct.pack("=QQQ", everything, 3, 3)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    create = (LANDLOCK_CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0)
    rules = _call("landlock_create_ruleset", _libc.syscall, *create)
    allowed = [found for path in readable for found in _readable(path, hidden)]
    allowed += [(path, FILES_OF_A_FOLDER & everything) for path in writable]
    for path, rights in allowed:
        if not os.path.exists(path):
            continue
        if path == os.devnull:
            rights |= WRITE_FILE
        if not os.path.isdir(path):
            rights &= READ_FILE | WRITE_FILE
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = ctypes.c_char_p(struct.pack("=Qi", rights, opened))
            add = (LANDLOCK_ADD_RULE, rules, 1, rule, 0)
            _call(f"landlock_add_rule {path}", _libc.syscall, *add)
        finally:
            os.close(opened)
    return rules


def set_limits(limits: dict[str, int]) -> None:
    """Set resource limits by name (RLIMIT_AS …), soft and hard, never above the hard one so far."""
    import resource

    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):
            if sys.platform == "linux":  # macOS refuses RLIMIT_AS
                raise


def become(uid: int) -> None:
    """Give up root and every capability for a user id that owns nothing. Raises OSError."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    # with the inheritable ones
    _call("capset", _libc.capset, ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))


def give_up_privileges() -> None:
    """On Linux: no privileges by exec, no core dump, no look inside by other processes."""
    if sys.platform == "linux":
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        prctl(PR_SET_DUMPABLE, 0)


def restrict(rules: int) -> None:
    """Put this process under Landlock rules (none if negative), for good. Raises OSError."""
    if rules >= 0:
        _call("landlock_restrict_self", _libc.syscall, LANDLOCK_RESTRICT_SELF, rules, 0)


def add_filter(code: bytes) -> None:
    """Put this process under one more seccomp filter, for good. Raises OSError."""
    if sys.platform != "linux":
        raise OSError("seccomp needs Linux")
    program = ctypes.create_string_buffer(code, len(code))
    argument = struct.pack("@HxxxxxxP", len(code) // 8, ctypes.addressof(program))
    _call("seccomp", _libc.prctl, PR_SET_SECCOMP, 2, ctypes.c_char_p(argument), 0, 0)
