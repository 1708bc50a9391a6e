"""Runs inside a generation's Python: `noderack_host inspect` under limits. Started by `verify`, by file path.

Imports nothing of ours: the generation may hold another version of Noderack than the command line's.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events that change a folder → how many of their first arguments are paths.
CHANGES = {"os.remove": 1, "os.rename": 2, "os.mkdir": 1, "os.rmdir": 1, "os.link": 2, "os.symlink": 2}


def guard(allowed: list[str]) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that refuses to write anywhere but under `allowed` (and byte code), and to start pip."""

    def refuse_outside(path: Any, what: str) -> None:
        if isinstance(path, int) or path is None or "__pycache__" in os.fsdecode(path):
            return
        full = os.path.realpath(os.fsdecode(path))
        if not any(full == root or full.startswith(root + os.sep) for root in (*allowed, "/dev", "/proc")):
            raise PermissionError(13, f"a pack may not {what} while it is imported", full)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and _writes(args[1], args[2]):
            refuse_outside(args[0], "write here")
        elif event in CHANGES:
            for path in args[: CHANGES[event]]:
                refuse_outside(path, "change this")
        elif event == "subprocess.Popen" and _is_pip(args[1]):
            raise PermissionError(13, "a pack may not run pip while it is imported", "pip")

    return hook


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & WRITES)


def _is_pip(command: Any) -> bool:
    words = command if isinstance(command, list | tuple) else str(command).split()
    return any(
        os.fsdecode(w).rpartition("/")[2] in ("pip", "pip3") for w in words if isinstance(w, str | bytes)
    )


def limit(seconds: int, memory: int) -> None:
    """End this process after `seconds` even if its parent is gone and C code hangs; cap its memory."""
    signal.alarm(seconds)
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """verify_child.py SECONDS BYTES ALLOWED(joined by os.pathsep) ARGUMENTS_OF_noderack_host..."""
    seconds, memory, allowed, *rest = sys.argv[1:]
    if os.name != "nt":
        limit(int(seconds), int(memory))
    sys.addaudithook(guard([os.path.realpath(folder) for folder in allowed.split(os.pathsep)]))
    sys.argv = ["noderack_host", *rest]
    runpy.run_module("noderack_host", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
