"""Runs a command and breaks it at one chosen call that changes the disk, in any of its processes.

The kernel asks before each such call of the command and of all that it starts (seccomp's user notification),
so every call of every process has its turn, threads and children too: its process is killed there, or the
call fails with an error. Linux on x86-64 only.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = sys.platform == "linux" and platform.machine() == "x86_64"
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
FICLONE, FICLONERANGE = 0x40049409, 0x4020940D
AT_FDCWD = -100
RECEIVE, ANSWER = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV and _SEND
CONTINUE = 1
PATIENCE = 60.0  # seconds until processes that outlive the command count as left behind


@dataclass(frozen=True, slots=True)
class Row:
    """A system call: where among its arguments the file is, and whether a full disk refuses it for ever."""

    name: str
    path: int | None = None
    at: int | None = None
    handle: int | None = None
    grows: bool = False


# Numbers of x86-64. A handle that is no regular file (a pipe, a socket) does not count.
ROWS: dict[int, Row] = {
    1: Row("write", handle=0, grows=True),
    2: Row("open", path=0, grows=True),
    18: Row("pwrite64", handle=0, grows=True),
    20: Row("writev", handle=0, grows=True),
    40: Row("sendfile", handle=0, grows=True),
    74: Row("fsync", handle=0),
    75: Row("fdatasync", handle=0),
    76: Row("truncate", path=0),
    77: Row("ftruncate", handle=0),
    82: Row("rename", path=1),
    83: Row("mkdir", path=0, grows=True),
    84: Row("rmdir", path=0),
    85: Row("creat", path=0, grows=True),
    86: Row("link", path=1, grows=True),
    87: Row("unlink", path=0),
    88: Row("symlink", path=1, grows=True),
    90: Row("chmod", path=0),
    91: Row("fchmod", handle=0),
    92: Row("chown", path=0),
    93: Row("fchown", handle=0),
    94: Row("lchown", path=0),
    132: Row("utime", path=0),
    133: Row("mknod", path=0, grows=True),
    162: Row("sync"),
    188: Row("setxattr", path=0),
    189: Row("lsetxattr", path=0),
    190: Row("fsetxattr", handle=0),
    197: Row("removexattr", path=0),
    198: Row("lremovexattr", path=0),
    199: Row("fremovexattr", handle=0),
    235: Row("utimes", path=0),
    257: Row("openat", path=1, at=0, grows=True),
    258: Row("mkdirat", path=1, at=0, grows=True),
    259: Row("mknodat", path=1, at=0, grows=True),
    260: Row("fchownat", path=1, at=0),
    261: Row("futimesat", path=1, at=0),
    263: Row("unlinkat", path=1, at=0),
    264: Row("renameat", path=3, at=2),
    265: Row("linkat", path=3, at=2, grows=True),
    266: Row("symlinkat", path=2, at=1, grows=True),
    268: Row("fchmodat", path=1, at=0),
    275: Row("splice", handle=2, grows=True),
    277: Row("sync_file_range", handle=0),
    280: Row("utimensat", path=1, at=0),
    285: Row("fallocate", handle=0, grows=True),
    296: Row("pwritev", handle=0, grows=True),
    306: Row("syncfs", handle=0),
    316: Row("renameat2", path=3, at=2),
    326: Row("copy_file_range", handle=2, grows=True),
    328: Row("pwritev2", handle=0, grows=True),
    437: Row("openat2", path=1, at=0, grows=True),
    452: Row("fchmodat2", path=1, at=0),
    16: Row("ioctl", handle=0, grows=True),
}
FLAGS = {2: 1, 257: 2}  # calls that open a file → which argument says how


@dataclass(frozen=True, slots=True)
class Call:
    """One call: whose, which, of what file."""

    role: str
    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.role}: {self.name} {self.path}"


@dataclass(frozen=True, slots=True)
class Point:
    """The `number`th call (from 1) of all processes of a role."""

    role: str
    number: int


@dataclass(slots=True)
class Broken:
    """What came of a command: its calls in order, the one that was broken, whether anything still runs."""

    code: int = 0
    out: str = ""
    err: str = ""
    calls: list[Call] = field(default_factory=list)
    hit: Call | None = None
    left: bool = False

    @property
    def points(self) -> list[Point]:
        """Every call of the command, one by one."""
        counts = Counter(call.role for call in self.calls)
        return [Point(role, n) for role in sorted(counts) for n in range(1, counts[role] + 1)]


def run(command: Sequence[str], at: Point | None = None, fault: str = "KILL") -> Broken:
    """Run a command; at that call its process is killed (KILL), or it fails with EIO, or the disk is full.

    A full disk (ENOSPC) stays full: from there on nothing grows, in any process.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: _be_watched(theirs),  # noqa: PLW1509 (before any thread of ours)
        )
        listener = socket.recv_fds(ours, 1, 1)[1][0]
    watch = _Watch(listener, at, fault)
    thread = threading.Thread(target=watch.follow, daemon=True)
    thread.start()
    out, err = child.communicate()
    thread.join(PATIENCE)
    told = watch.told
    told.code, told.out, told.err, told.left = child.returncode, out, err, thread.is_alive()
    return told


class _Watch:
    def __init__(self, listener: int, at: Point | None, fault: str) -> None:
        self._listener, self._at, self._fault = listener, at, fault
        self._counts: Counter[str] = Counter()
        self._full = False
        self.told = Broken()

    def follow(self) -> None:
        """Answer until no process is left that asks."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            for _, event in poll.poll():
                if not event & select.POLLIN:
                    os.close(self._listener)
                    return
                self._one()

    def _one(self) -> None:
        message = bytearray(80)
        try:
            fcntl.ioctl(self._listener, RECEIVE, message)
        except OSError:  # it was killed meanwhile
            return
        id_, pid, _, number, _, _, *args = struct.unpack("=QIIiIQ6Q", message)
        error = 0
        with suppress(ProcessLookupError, FileNotFoundError):
            error = self._answer(pid, ROWS[number], args)
        if error is not None:
            with suppress(OSError):
                answer = struct.pack("=QqiI", id_, 0, -error, 0 if error else CONTINUE)
                fcntl.ioctl(self._listener, ANSWER, bytearray(answer))

    def _answer(self, pid: int, row: Row, args: list[int]) -> int | None:
        """The error that the call gives, 0 for none, None for a process that is no more."""
        path = _path(pid, row, args)
        if path is None:
            return 0
        call = Call(_role(pid), row.name, path)
        self._counts[call.role] += 1
        self.told.calls.append(call)
        if self._at is None or (call.role, self._counts[call.role]) != (self._at.role, self._at.number):
            return errno.ENOSPC if self._full and row.grows and not _exists(row, path) else 0
        self.told.hit = call
        if self._fault == "KILL":
            os.kill(_group_of(pid), signal.SIGKILL)
            return None
        self._full = self._fault == "ENOSPC"
        return int(getattr(errno, self._fault))


def _exists(row: Row, path: str) -> bool:
    """Whether this only opens what is there: that needs no room."""
    return row.name.startswith("open") and os.path.exists(path)  # noqa: PTH110


def _path(pid: int, row: Row, args: list[int]) -> str | None:
    """The file that a call changes; None where it is not one of a disk."""
    if row.handle is not None:
        handle = f"/proc/{pid}/fd/{ctypes.c_int(args[row.handle]).value}"
        try:
            mode = os.stat(handle).st_mode  # noqa: PTH116
        except OSError:
            return None
        return os.readlink(handle) if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else None  # noqa: PTH115
    if row.path is None:
        return ""
    path = os.path.join(_start(pid, row, args), _text(pid, args[row.path]))  # noqa: PTH118
    return None if path.startswith(("/dev/", "/proc/")) and not path.startswith("/dev/shm/") else path


def _start(pid: int, row: Row, args: list[int]) -> str:
    at = AT_FDCWD if row.at is None else ctypes.c_int(args[row.at]).value
    return os.readlink(f"/proc/{pid}/cwd" if at == AT_FDCWD else f"/proc/{pid}/fd/{at}")  # noqa: PTH115


def _text(pid: int, address: int) -> str:
    """The text at an address of a process."""
    if address == 0:
        return ""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:  # noqa: PTH123
        memory.seek(address)
        text = memory.read(4096 - address % 4096)
        if b"\0" not in text:
            text += memory.read(4096)
    return os.fsdecode(text.partition(b"\0")[0])


def _role(pid: int) -> str:
    """Which of the installer's processes this is."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    if any(word.endswith("verify_child.py") for word in words):
        return "verifier"
    return "nodes" if "noderack_cli" in words else Path(words[0]).name


def _group_of(pid: int) -> int:
    """The process of a thread."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("Tgid:"):
            return int(line.split()[1])
    return pid


def _be_watched(to: socket.socket) -> None:
    """In the child, before its program starts: let the kernel ask, and send the parent the handle for it."""
    code = b"".join(struct.pack("=HBBI", *step) for step in _filter())
    text = ctypes.create_string_buffer(code)
    program = struct.pack("=H6xQ", len(code) // 8, ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    listener = libc.syscall(317, 1, 8 | 32, program)  # seccomp: NEW_LISTENER, WAIT_KILLABLE_RECV
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    socket.send_fds(to, [b"x"], [listener])
    os.close(listener)


def _filter() -> list[tuple[int, int, int, int]]:
    """The kernel's program: ask for the calls of ROWS, and only for opens that write."""
    load, equal, any_of, end = 0x20, 0x15, 0x45, 0x06
    allow, ask = (end, 0, 0, 0x7FFF0000), (end, 0, 0, 0x7FC00000)
    steps = [(load, 0, 0, 4), (equal, 1, 0, 0xC000003E), allow, (load, 0, 0, 0)]
    for number, place in FLAGS.items():
        steps += [(equal, 0, 4, number), (load, 0, 0, 16 + 8 * place), (any_of, 0, 1, WRITING), ask, allow]
    clone = [(load, 0, 0, 16 + 8), (equal, 1, 0, FICLONE), (equal, 0, 1, FICLONERANGE), ask, allow]
    steps += [(equal, 0, len(clone), 16), *clone]
    for number in sorted(ROWS.keys() - FLAGS.keys() - {16}):
        steps += [(equal, 0, 1, number), ask]
    return [*steps, allow]
