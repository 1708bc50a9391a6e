"""`user/server.json`: that a server runs for this host, where, and its start's token; for its user alone."""

import json
import os
from contextlib import suppress
from pathlib import Path

from noderack_host.folder import Host

NAME = "server.json"


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


def withdraw(host: Host) -> None:
    """Removes the file, if it is this process's."""
    with suppress(OSError, ValueError):
        if json.loads(place(host).read_text("utf-8"))["pid"] == os.getpid():
            place(host).unlink()
