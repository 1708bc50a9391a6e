"""`user/server.json`: that a server runs for this host, where, and its start's token; for its user alone."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from noderack_host.folder import Host

NAME = "server.json"
LOCK = "serving.lock"


def place(host: Host) -> Path:
    """Where the file is while a server runs."""
    return host.user / NAME


def tell(host: Host, url: str, token: str, generation: int | None, used: list[int]) -> None:
    """Writes the file: readable by its owner alone from the first moment, and never half written.

    `used` are all generations of which something may be loaded.
    """
    file = place(host)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{NAME}.{os.getpid()}")
    told = {"pid": os.getpid(), "url": url, "token": token, "generation": generation, "generations": used}
    with suppress(FileNotFoundError):
        beside.unlink()
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(told, out)
    beside.replace(file)


class AnotherServes(Exception):
    """A server runs for this host already; two would run each other's prompts."""


@contextmanager
def alone(host: Host, patience: float = 3.0) -> Iterator[None]:
    """Makes this the host's only server while the block lasts; raises AnotherServes.

    The lock is one that SQLite takes on a file of its own: it works on every system, and goes with the
    process, however that ends. `patience`: seconds for the server before this one to be over.
    """
    host.user.mkdir(parents=True, exist_ok=True)
    held = sqlite3.connect(host.user / LOCK, isolation_level=None, timeout=patience)
    with closing(held):
        try:
            held.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as cause:
            where = f"{host.root}{_where(host)}"
            raise AnotherServes(f"another server runs for {where}: use that one, or end it") from cause
        yield


def _where(host: Host) -> str:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return f" at {json.loads(place(host).read_text('utf-8'))['url']}"
    return ""


def withdraw(host: Host) -> None:
    """Removes the file, if it is this process's."""
    with suppress(OSError, ValueError):
        if json.loads(place(host).read_text("utf-8"))["pid"] == os.getpid():
            place(host).unlink()
