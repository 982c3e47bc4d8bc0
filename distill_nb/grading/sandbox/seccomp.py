"""The system calls that the sandbox allows: two seccomp filters, as programs for the kernel.

The worker puts itself under the first, `of_worker`. Any call that is not listed fails with EPERM,
for the worker and for every child: sockets, exec, ptrace, mount, unshare, setns, bpf, io_uring,
userfaultfd, process_vm_*, and whatever a later kernel adds.

Some are allowed for some arguments only (ARGUMENT), so that a candidate can neither act on another
process nor leave something for the next one, nor talk to one beside it:
- fcntl, ioctl: without the commands that send signals to another process (F_SETOWN, FIOSETOWN), and
  without F_GETLK, which tells of others' locks on files that all can read.
- madvise: on the process's own memory, not on the kernel's cache of files (MADV_WILLNEED, COLD,
  PAGEOUT, POPULATE_READ, COLLAPSE). Never listed are fadvise64, mincore, readahead, cachestat,
  preadv2 and process_madvise, which drop what is cached or tell what is.
- futex: private ones; on a shared page of a file two processes could wake each other.
- sched_getaffinity and the like: for the caller, as they tell which other processes there are. So
  do sysinfo and, by the room that is free, statfs.

Each child adds the second, `of_child`. It takes away what only the worker needs, and restricts:
- clone: threads only. fork and vfork are never listed; clone3, whose flags a filter cannot read,
  answers ENOSYS, so that the C library falls back to clone.
- kill, tgkill, prlimit64: on the process itself. No SIGKILL, and no other RLIMIT_CPU, which ends in
  one: so a SIGKILL is known to come from outside, as when memory runs out.
- mmap: no shared memory without a file. It stays in memory when it leaves the process's own pages,
  which alone are limited, and it is these by which the kernel chooses whom to kill.
- clock_gettime and the like: not the clocks of other processes.
- prctl: for names of threads and of memory, so that the signal at the parent's death stays set.
There are two because each child has to load its own, and the second is a fifth of the first.

Numbers are from Linux's arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h; the instructions are classic BPF
(https://docs.kernel.org/userspace-api/seccomp_filter.html). Standard library only."""

import errno
import functools
import platform
import signal
import struct

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column below, AUDIT_ARCH_*

# name:x86-64:arm64, "-" where there is none
CALLS = """
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 preadv:295:69
pwritev:296:70 lseek:8:62 close:3:57 close_range:436:436 dup:32:23 dup2:33:- dup3:292:24
pipe:22:- pipe2:293:59 open:2:- openat:257:56 creat:85:- stat:4:- fstat:5:80 lstat:6:-
newfstatat:262:79 statx:332:291 access:21:- faccessat:269:48 faccessat2:439:439 readlink:89:-
readlinkat:267:78 getdents:78:- getdents64:217:61 getcwd:79:17 chdir:80:49 fchdir:81:50
mkdir:83:- mkdirat:258:34 rmdir:84:- unlink:87:- unlinkat:263:35 rename:82:- renameat:264:38
renameat2:316:276 symlink:88:- symlinkat:266:36 ftruncate:77:46 fallocate:285:47 fsync:74:82
fdatasync:75:83 umask:95:166 sendfile:40:71 copy_file_range:326:285 poll:7:- ppoll:271:73
select:23:- pselect6:270:72 epoll_create:213:- epoll_create1:291:20 epoll_ctl:233:21
epoll_wait:232:- epoll_pwait:281:22 eventfd2:290:19 mmap:9:222 munmap:11:215 mremap:25:216
mprotect:10:226 brk:12:214 msync:26:227 membarrier:324:283 rseq:334:293 set_robust_list:273:99
set_tid_address:218:96 gettid:186:178 getpid:39:172 getppid:110:173 getuid:102:174
geteuid:107:175 getgid:104:176 getegid:108:177 getresuid:118:148 getresgid:120:150 getpgrp:111:-
getgroups:115:158 uname:63:160 getrusage:98:165 getrlimit:97:163 setrlimit:160:164 times:100:153
sched_yield:24:124 sched_get_priority_max:146:125 sched_get_priority_min:147:126 getcpu:309:168
getrandom:318:278 time:201:- gettimeofday:96:169 nanosleep:35:101 pause:34:- alarm:37:-
getitimer:36:102 setitimer:38:103 rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139
rt_sigpending:127:136 rt_sigtimedwait:128:137 rt_sigsuspend:130:133 sigaltstack:131:132
restart_syscall:219:128 arch_prctl:158:- wait4:61:260 waitid:247:95 exit:60:93 exit_group:231:94
"""
CLONE, CLONE3, MMAP, SETRLIMIT = (56, 220), (435, 435), (9, 222), (160, 164)
WORKER_ONLY = {
    "sendmsg": (46, 211), "recvmsg": (47, 212), "sendto": (44, 206), "recvfrom": (45, 207),
    "pidfd_open": (434, 434), "memfd_create": (319, 279), "landlock_restrict_self": (446, 446),
    "statfs": (137, 43), "fstatfs": (138, 44),
}  # fmt: skip
# their first argument is a process
OWN_PROCESS = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}
# their first argument is a clock; from 12 on, negative ones included, those of other processes
CLOCKS, CLOCKS_OF_ALL = ((228, 113), (229, 114), (230, 115)), 12
FUTEX, PRIVATE = (202, 98), 0x80  # FUTEX_PRIVATE_FLAG
# (numbers, place of the argument, allowed values)
ARGUMENT = {
    # F_DUPFD … F_SETFL, F_SETLK, F_SETLKW, F_DUPFD_CLOEXEC, F_GETPIPE_SZ
    "fcntl": ((72, 25), 1, (0, 1, 2, 3, 4, 6, 7, 1030, 1032)),
    # TCGETS … FIONREAD, FIONBIO, FIO(N)CLEX
    "ioctl": ((16, 29), 1, (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),
    # MADV_NORMAL, RANDOM, SEQUENTIAL, DONTNEED, FREE, DONTFORK, DOFORK, HUGEPAGE, NOHUGEPAGE,
    # DONTDUMP, DODUMP, WIPEONFORK, KEEPONFORK, GUARD_INSTALL, GUARD_REMOVE
    "madvise": ((28, 233), 2, (0, 1, 2, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 102, 103)),
    # FUTEX_WAIT, FUTEX_WAIT_BITSET, the same with FUTEX_CLOCK_REALTIME: beside the private ones, as
    # the C library waits so for the end of a thread
    "futex": (FUTEX, 1, (0, 9, 0x109)),
    # 0 is the caller
    "sched_getaffinity": ((204, 123), 0, (0,)), "sched_getparam": ((143, 121), 0, (0,)),
    "sched_getscheduler": ((145, 120), 0, (0,)), "getpriority": ((140, 141), 1, (0,)),
    "getpgid": ((121, 155), 0, (0,)), "getsid": ((124, 156), 0, (0,)),
}  # fmt: skip
# PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA
PRCTL, PRCTL_ALLOWED = (157, 167), (3, 15, 16, 0x53564D41)
RLIMIT_CPU = 0
THREAD = 0x00010000 | 0x00000800 | 0x00000100  # CLONE_THREAD | CLONE_SIGHAND | CLONE_VM
SHARED_MEMORY = 0x01 | 0x20  # MAP_SHARED or MAP_SHARED_VALIDATE, and MAP_ANONYMOUS
NAMESPACES = 0x7E020080  # CLONE_NEW*, each of which a thread does without

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000
SOME_PID = 0x7FFFFFFE  # no process has it (PID_MAX_LIMIT is 2^22), nor is it any other value here
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; arguments are 64-bit

Instruction = tuple[int, int, int, int]  # operation, jumps if true and if false, value


def _assemble(code: list[Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _start(architecture: int) -> list[Instruction]:
    """Load the call's number. A call by another table (int 0x80, x32) ends the process."""
    return [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (JUMP_AT_LEAST, 0, 1, 0x40000000),
        (RETURN, 0, 0, KILL),
    ]


def _answer(number: int, answer: int) -> list[Instruction]:
    return [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, answer)]


def _allow_if(number: int, argument: int, values: tuple[int, ...]) -> list[Instruction]:
    """Allow the call only where that argument is one of the values. Only the lower half of an
    argument is compared, as the kernel itself reads these as 32-bit numbers."""
    code = [(JUMP_EQUAL, 0, 2 * len(values) + 2, number), (LOAD, 0, 0, ARGUMENTS + 8 * argument)]
    for value in values:
        code += [(JUMP_EQUAL, 0, 1, value), (RETURN, 0, 0, ALLOW)]
    return [*code, (RETURN, 0, 0, FAIL | errno.EPERM)]


def _refuse_if(number: int, argument: int, mask: int, value: int) -> list[Instruction]:
    """Refuse the call where these bits of that argument have the value."""
    return [
        (JUMP_EQUAL, 0, 5, number),
        (LOAD, 0, 0, ARGUMENTS + 8 * argument),
        (AND, 0, 0, mask),
        (JUMP_EQUAL, 0, 1, value),
        (RETURN, 0, 0, FAIL | errno.EPERM),
        (LOAD, 0, 0, NUMBER),
    ]


def of_worker() -> bytes:
    """The worker's filter, an array of struct sock_filter. KeyError: a processor without a list."""
    column, architecture = MACHINES[platform.machine()]
    listed = [entry.split(":")[1 + column] for entry in CALLS.split()]
    numbers = [int(number) for number in listed if number != "-"]
    numbers += [n[column] for n in (*WORKER_ONLY.values(), *OWN_PROCESS.values(), *CLOCKS)]
    code = _start(architecture)
    for number in (*numbers, CLONE[column], PRCTL[column]):
        code += _answer(number, ALLOW)
    code += _answer(CLONE3[column], FAIL | errno.ENOSYS)
    code += [
        (JUMP_EQUAL, 0, 5, FUTEX[column]),
        (LOAD, 0, 0, ARGUMENTS + 8),
        (AND, 0, 0, PRIVATE),
        (JUMP_EQUAL, 0, 1, PRIVATE),
        (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, NUMBER),
    ]
    for numbers_, argument, values in ARGUMENT.values():
        code += _allow_if(numbers_[column], argument, values)
    return _assemble([*code, (RETURN, 0, 0, FAIL | errno.EPERM)])


def of_child(pid: int) -> bytes:
    """The filter that the process `pid` (its number in its own namespace) adds to `of_worker`."""
    return _of_child().replace(struct.pack("=I", SOME_PID), struct.pack("=I", pid))


@functools.cache
def _of_child() -> bytes:
    """The same for a process that cannot be. A worker makes it once for all its children."""
    column, architecture = MACHINES[platform.machine()]
    pid = SOME_PID
    code = _start(architecture)
    for numbers in WORKER_ONLY.values():
        code += _answer(numbers[column], FAIL | errno.EPERM)
    code += [
        (JUMP_EQUAL, 0, 5, CLONE[column]),
        (LOAD, 0, 0, ARGUMENTS),
        (AND, 0, 0, THREAD | NAMESPACES),
        (JUMP_EQUAL, 0, 1, THREAD),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, FAIL | errno.EPERM),
    ]
    code += _refuse_if(SETRLIMIT[column], 0, 0xFFFFFFFF, RLIMIT_CPU)
    code += [  # prlimit64, where it sets that limit: the third argument is no null pointer
        (JUMP_EQUAL, 0, 8, OWN_PROCESS["prlimit64"][column]),
        (LOAD, 0, 0, ARGUMENTS + 8),
        (JUMP_EQUAL, 0, 5, RLIMIT_CPU),
        (LOAD, 0, 0, ARGUMENTS + 16),
        (JUMP_EQUAL, 0, 2, 0),
        (LOAD, 0, 0, ARGUMENTS + 20),
        (JUMP_EQUAL, 1, 0, 0),
        (RETURN, 0, 0, FAIL | errno.EPERM),
        (LOAD, 0, 0, NUMBER),
    ]
    code += _refuse_if(MMAP[column], 3, SHARED_MEMORY, SHARED_MEMORY)
    for name, place in (("kill", 1), ("tgkill", 2)):
        code += _refuse_if(OWN_PROCESS[name][column], place, 0xFFFFFFFF, signal.SIGKILL)
    for name, numbers in OWN_PROCESS.items():
        code += _allow_if(numbers[column], 0, (pid, 0) if name == "prlimit64" else (pid,))
    for numbers in CLOCKS:
        code += [
            (JUMP_EQUAL, 0, 4, numbers[column]),
            (LOAD, 0, 0, ARGUMENTS),
            (JUMP_AT_LEAST, 0, 1, CLOCKS_OF_ALL),
            (RETURN, 0, 0, FAIL | errno.EPERM),
            (RETURN, 0, 0, ALLOW),
        ]
    code += _allow_if(PRCTL[column], 0, PRCTL_ALLOWED)
    return _assemble([*code, (RETURN, 0, 0, ALLOW)])
