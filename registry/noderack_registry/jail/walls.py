"""Runs in the child, started by file path: builds the walls around itself, reports, becomes the command.

Imports the standard library alone. What fails is reported as a wall that does not stand; whether that is
enough is for the parent to say, which lets the command begin or not.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

NEWNS, NEWUTS, NEWIPC = 0x00020000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
NOBODY = 65534
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/alternatives")
DEVICES = ("null", "zero", "full", "random", "urandom")
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_SETATTR, _PIVOT_ROOT = -100, 0x8000, 442, {"x86_64": 155, "aarch64": 41}

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> int:
    """A function of the C library; raises OSError."""
    done = int(getattr(libc, name)(*arguments))
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return done


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    texts = (source.encode(), target.encode(), kind.encode() if kind else None)
    call("mount", *texts, ctypes.c_ulong(flags), data.encode() or None)


def protect(target: str) -> None:
    """Make a mount and all below it read-only, without devices and set-uid programs."""
    attributes = (ctypes.c_uint64 * 4)(MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    path = ctypes.c_char_p(target.encode())
    call("syscall", _MOUNT_SETATTR, _AT_FDCWD, path, _AT_RECURSIVE, ctypes.byref(attributes), 32)


def separate() -> None:
    """Own mounts, network, processes and semaphores: as root at once, else in an own user's world."""
    kinds = NEWNS | NEWNET | NEWPID | NEWIPC | NEWUTS
    if os.geteuid() == 0:
        call("unshare", kinds)
        return
    user, group = os.geteuid(), os.getegid()
    call("unshare", kinds | NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")


def own_root(root: str, shown: list[str], disk: int) -> None:
    """Another file system in place of this one: the system's programs, what is `shown`, and an empty /tmp."""
    top = Path(root)
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,mode=755")
    for path in (*SYSTEM, *shown):
        _show(root, path)
    (top / "dev").mkdir()
    for name in DEVICES:
        Path(f"{root}/dev/{name}").touch()
        mount(f"/dev/{name}", f"{root}/dev/{name}", None, MS_BIND)
    Path(f"{root}/etc/passwd").write_text(f"nobody:x:{NOBODY}:{NOBODY}:nobody:/tmp:/bin/false\n")
    (top / "proc").mkdir()
    with suppress(OSError):  # some containers allow none: most code does without
        mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV)
    (top / "tmp").mkdir(exist_ok=True)
    mount("tmpfs", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, f"size={disk},mode=1777")
    for path in shown:  # what lies below /tmp was hidden by it
        if path.startswith("/tmp/"):
            _show(root, path)
    (top / "dev/shm").mkdir()
    mount("tmpfs", f"{root}/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, f"size={disk},mode=1777")
    (top / ".old").mkdir()
    os.chdir(root)
    call("syscall", _PIVOT_ROOT[os.uname().machine], b".", b".old")
    os.chdir("/")
    call("umount2", b"/.old", DETACH)
    Path("/.old").rmdir()
    protect_root()


def _show(root: str, path: str) -> None:
    source, target = Path(path), Path(root + path)
    if target.exists() or target.is_symlink() or not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink() and path in SYSTEM:  # /lib is /usr/lib on most systems
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    mount(os.path.realpath(source), str(target), None, MS_BIND | MS_REC)
    protect(str(target))


def protect_root() -> None:
    """The new root itself, not what is mounted on it."""
    attributes = (ctypes.c_uint64 * 4)(MS_RDONLY, 0, 0, 0)
    call("syscall", _MOUNT_SETATTR, _AT_FDCWD, ctypes.c_char_p(b"/"), 0, ctypes.byref(attributes), 32)


def nobody() -> None:
    """Give root's rights up."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def limit(limits: dict[str, int]) -> None:
    """What one process may take; the parent looks after their sum."""
    most = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: limits["seconds"] + 1,  # the watcher comes first, and says why
        resource.RLIMIT_DATA: limits["memory"],
        resource.RLIMIT_FSIZE: limits["disk"],
        resource.RLIMIT_NOFILE: 1024,
        resource.RLIMIT_NPROC: limits["processes"],
        resource.RLIMIT_MEMLOCK: 1 << 20,
    }
    for kind, value in most.items():
        resource.setrlimit(kind, (value, value))


# Landlock: rights on files (bits 1, 4..12), and those that later kernels added (13, 14).
_WRITES = 0b1_1111_1111_0010
_READS, _OF_FILES = 0b1100, 1 << 1 | 1 << 2 | 1 << 14
_RIGHTS = {1: _WRITES, 2: _WRITES | 1 << 13, 3: _WRITES | 1 << 13 | 1 << 14}
_CREATE, _ADD, _RESTRICT = 444, 445, 446


def landlock(writable: list[str], readable: list[str]) -> None:
    """Let nothing be read or written but below these; no TCP at all, where the kernel is new enough."""
    newest = call("syscall", _CREATE, None, ctypes.c_size_t(0), 1)
    rights = _RIGHTS[min(newest, 3)] | _READS
    wanted = (ctypes.c_uint64 * 3)(rights, 0b11 if newest >= 4 else 0, 0b11 if newest >= 6 else 0)
    size = 8 * (3 if newest >= 6 else 2 if newest >= 4 else 1)
    rules = call("syscall", _CREATE, ctypes.byref(wanted), ctypes.c_size_t(size), 0)
    for path in writable:
        _allow(rules, path, rights)
    for path in readable:
        _allow(rules, path, _READS)
    call("syscall", _RESTRICT, rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    if Path(path).exists():
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights &= -1 if Path(path).is_dir() else _OF_FILES
        packed = rights.to_bytes(8, "little") + place.to_bytes(4, "little")
        call("syscall", _ADD, rules, 1, ctypes.c_char_p(packed), 0)
        os.close(place)


# System calls that importing a pack never needs: (x86_64, aarch64).
_SOCKET = (41, 198)
_FORBIDDEN = {
    "ptrace": (101, 117), "mount": (165, 40), "umount2": (166, 39), "unshare": (272, 97), "setns": (308, 268),
    "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "open_by_handle_at": (304, 265), "init_module": (175, 105),
    "finit_module": (313, 273), "kexec_load": (246, 104), "reboot": (169, 142), "swapon": (167, 224),
}  # fmt: skip
_ARCH = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | 13


def seccomp() -> None:
    """Refuse sockets other than local ones, and calls that only attacks on the kernel need."""
    arch, column = _ARCH[os.uname().machine]
    numbers = sorted(numbers[column] for numbers in _FORBIDDEN.values())
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _DENY), (_LOAD, 0, 0, 0)]
    program += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _DENY)]
    for number in numbers:
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _DENY)]
    program += [(_EQUAL, 0, 3, _SOCKET[column]), (_LOAD, 0, 0, 16), (_EQUAL, 1, 0, 1), (_RETURN, 0, 0, _DENY)]
    program += [(_RETURN, 0, 0, _ALLOW)]
    packed = b"".join(
        code.to_bytes(2, "little") + bytes((yes, no)) + value.to_bytes(4, "little")
        for code, yes, no, value in program
    )
    lines = ctypes.create_string_buffer(packed)
    header = (ctypes.c_uint64 * 2)(len(program), ctypes.addressof(lines))
    call("prctl", 22, ctypes.c_ulong(2), ctypes.byref(header), 0, 0)


def attempt(walls: dict[str, str], name: str, build: Callable[[], None]) -> bool:
    """Build a wall and write down whether it stands."""
    try:
        build()
    except (OSError, ValueError, KeyError, AttributeError) as cause:
        walls[name] = f"did not stand: {cause}"
        return False
    walls[name] = "stood"
    return True


def main() -> None:
    """walls.py SPEC: a JSON object with root, shown, writable, command, environment, limits, report, go."""
    spec = json.loads(sys.argv[1])
    walls: dict[str, str] = {}
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    apart = attempt(walls, "own world", separate)
    if apart:
        child = os.fork()
        if child:
            _wait(child, spec)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _inside(spec, walls, apart)


def _wait(child: int, spec: dict[str, Any]) -> None:
    for number in (spec["report"], spec["go"]):
        os.close(number)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:  # tell the parent as it was
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(code)


def _inside(spec: dict[str, Any], walls: dict[str, str], apart: bool) -> None:
    limits = spec["limits"]
    own = apart and attempt(walls, "own files", lambda: own_root(spec["root"], spec["shown"], limits["disk"]))
    writable = ["/tmp", "/dev"] if own else [*spec["writable"], *(f"/dev/{name}" for name in DEVICES)]
    attempt(walls, "account", nobody)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # giving rights up took this back
    attempt(walls, "limits", lambda: limit(limits))
    os.nice(10)
    call("prctl", PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0)
    readable = ["/"] if own else [*SYSTEM, *spec["shown"], "/proc/self"]
    attempt(walls, "landlock", lambda: landlock(writable, readable))
    filtered = attempt(walls, "system calls", seccomp)
    walls["network"] = "stood" if apart or filtered else "did not stand: " + walls["own world"]
    walls["files"] = "stood" if own or walls["landlock"] == "stood" else "did not stand: " + walls["landlock"]
    os.write(spec["report"], json.dumps(walls).encode() + b"\n")
    os.close(spec["report"])
    if os.read(spec["go"], 1) != b"y":
        os._exit(0)
    os.closerange(3, 1024)
    os.chdir("/tmp" if own else spec["writable"][0])
    os.execve(spec["command"][0], spec["command"], spec["environment"])


if __name__ == "__main__":
    main()
