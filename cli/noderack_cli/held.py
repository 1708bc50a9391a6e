"""One installer at a time: a lock on the host that dies with the process that holds it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from noderack_cli.errors import HostHeld

NAME = ".lock"


@contextmanager
def hold(
    root: Path, doing: str, *, wait: float = 600.0, tell: Callable[[str], None] = lambda text: None
) -> Iterator[None]:
    """Hold the host at `root` for `doing`; waits up to `wait` seconds for another, telling whom for.

    Raises HostHeld naming the process that holds it. The lock belongs to this process: a kill releases it.
    """
    with (root / NAME).open("a+", encoding="utf-8") as file:
        _take(file, wait, tell)
        write_holder(file, doing)
        try:
            yield
        finally:
            file.truncate(0)


def write_holder(file: IO[str], doing: str) -> None:
    """Say in a lock file who holds it, and for what."""
    file.truncate(0)
    json.dump({"pid": os.getpid(), "doing": doing, "since": int(time.time())}, file)
    file.flush()


def _take(file: IO[str], wait: float, tell: Callable[[str], None]) -> None:
    until, told = time.monotonic() + wait, False
    while not locked(file):
        if time.monotonic() >= until:
            raise HostHeld(f"{holder(file)} is changing this host", "Wait until it ends, then try again.")
        if not told:
            tell(f"waiting for {holder(file)}")
            told = True
        time.sleep(0.1)


def holder(file: IO[str]) -> str:
    """Who wrote the lock file last, in words."""
    file.seek(0)
    try:
        record = json.load(file)
        return f"process {record['pid']} ({record['doing']})"
    except (ValueError, KeyError, TypeError):
        return "another process"


def locked(file: IO[str]) -> bool:
    """Take the lock on an open file, if nobody has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
