"""Runs inside a generation's Python: `noderack_host inspect` under limits. Started by `verify`, by file path.

Either once, or warm: `--warm` imports the host, then forks for each request, so that ten packs pay for the
start of one Python. A fork has its own limits, folders and environment, and never comes back.
Imports nothing of ours: the generation may hold another version of Noderack than the command line's.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
import traceback
from contextlib import suppress
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events that change a folder → how many of their first arguments are paths.
CHANGES = {"os.remove": 1, "os.rename": 2, "os.mkdir": 1, "os.rmdir": 1, "os.link": 2, "os.symlink": 2}


ADDING = "+"  # before a folder where files may be added, and none changed that is there


class Guard:
    """An audit hook that refuses to write anywhere but under `allowed`, and to start pip.

    Under the folders marked with ADDING, and in this environment (a clone that shares its files with others),
    packs may make what is not there yet, as many do when they are imported. Byte code may be written anew.
    """

    def __init__(self, allowed: list[str]) -> None:
        self._allowed = [*(one for one in allowed if not one.startswith(ADDING)), "/dev", "/proc"]
        self._adding = [one.removeprefix(ADDING) for one in allowed if one.startswith(ADDING)]
        self._made: set[str] = set()

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and _writes(args[1], args[2]):
            self._refuse(args[0], "write here")
        elif event in CHANGES:
            for path in args[: CHANGES[event]]:
                self._refuse(path, "change this")
        elif event == "subprocess.Popen" and _is_pip(args[1]):
            raise PermissionError(13, "a pack may not run pip while it is imported", "pip")

    def _refuse(self, path: Any, what: str) -> None:
        if isinstance(path, int) or path is None:
            return
        full = os.path.realpath(os.fsdecode(path))
        home = os.path.realpath(sys.prefix)
        if f"{os.sep}__pycache__" in full and _within(full, home):
            return
        if any(_within(full, root) for root in self._allowed):
            return
        if any(_within(full, root) for root in (*self._adding, home)) and self._is_new(full):
            return
        raise PermissionError(13, f"a pack may not {what} while it is imported", full)

    def _is_new(self, full: str) -> bool:
        if full not in self._made and os.path.lexists(full):
            return False
        self._made.add(full)
        return True


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root + os.sep)


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


def end_with_parent() -> None:
    """Have this process killed when the one that started it is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def warm() -> None:
    """Answer requests from stdin, one JSON object a line, until it ends.

    {"preload": [MODULE...]} imports those; {"loaded"} says which modules there are; {"run": {...}} forks,
    and says {"pid"} and then {"code"}.
    """
    gc.disable()  # what is imported here stays; what is not, is the forks'
    _preload(["noderack_host.__main__"])
    for line in sys.stdin:
        request = json.loads(line)
        if "preload" in request:
            _preload(request["preload"])
        elif "loaded" in request:
            _say({"loaded": sorted({name.partition(".")[0] for name in sys.modules})})
        else:
            _one(request["run"])


def _one(run: dict[str, Any]) -> None:
    gc.freeze()  # what is here already is no garbage of the fork's
    pid = os.fork()
    if pid == 0:
        _fork(run)
    _say({"pid": pid})
    _say({"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})


def _preload(names: list[str]) -> None:
    for name in names:
        with suppress(Exception):  # the fork that needs it will say what is wrong
            importlib.import_module(name)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _fork(run: dict[str, Any]) -> None:
    """Become what a fresh process in the environment `to` would be, and run; never returns."""
    code = 70
    try:
        end_with_parent()
        gc.enable()
        os.setsid()
        for number, (file, flags) in enumerate(
            [(os.devnull, os.O_RDONLY), (run["out"], os.O_WRONLY), (run["err"], os.O_WRONLY)]
        ):
            os.dup2(os.open(file, flags | (os.O_CREAT if number else 0)), number)
        os.environ.clear()
        os.environ.update(run["environment"])
        tempfile.tempdir = None
        _move(run["from"], run["to"])
        begin(run["seconds"], run["memory"], run["allowed"])
        code = _program(run["arguments"])
    except BaseException:  # whatever a pack raises is an end of this process
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _move(old: str, new: str) -> None:
    """Make the environment at `new` this process's own in place of `old`, of which it is a clone."""
    sys.path[:] = [
        new + path[len(old) :] if (path + os.sep).startswith(old + os.sep) else path for path in sys.path
    ]
    sys.prefix = sys.exec_prefix = new
    sys.executable = (
        new + sys.executable[len(old) :] if sys.executable.startswith(old + os.sep) else sys.executable
    )
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()


def _program(arguments: list[str]) -> int:
    sys.argv = ["noderack_host", *arguments]
    try:
        runpy.run_module("noderack_host", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def begin(seconds: int, memory: int, allowed: list[str]) -> None:
    """Put the limits and the guard on this process."""
    if os.name != "nt":
        limit(seconds, memory)
    sys.addaudithook(Guard([_real(folder) for folder in allowed]))


def _real(folder: str) -> str:
    plain = folder.removeprefix(ADDING)
    return folder[: len(folder) - len(plain)] + os.path.realpath(plain)


def main() -> None:
    """verify_child.py SECONDS BYTES ALLOWED(joined by os.pathsep) ARGUMENTS_OF_noderack_host... | --warm"""
    end_with_parent()
    if sys.argv[1:] == ["--warm"]:
        warm()
        return
    seconds, memory, allowed, *rest = sys.argv[1:]
    begin(int(seconds), int(memory), allowed.split(os.pathsep))
    sys.exit(_program(rest))


if __name__ == "__main__":
    main()
