"""A real PostgreSQL for the tests: made from nothing in a folder, on a socket of its own, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """The folder with initdb and postgres, None when PostgreSQL is not installed."""
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which("initdb")
    places += [Path(found).parent] if found else []
    return next(
        (place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None
    )


def _user() -> str | None:
    """PostgreSQL does not run as root: whose rights it gets instead."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def running() -> Iterator[str]:
    """The URL of a fresh server without a single database of ours."""
    place, user = programs(), _user()
    assert place is not None
    folder = Path(tempfile.mkdtemp(prefix="noderack-pg-"))
    data = folder / "data"
    if user:
        shutil.chown(folder, user)
    sign_in = ["-U", "registry", "--auth=trust", "-E", "UTF8", "--no-locale", "-N"]
    subprocess.run([place / "initdb", "-D", data, *sign_in], user=user, check=True, capture_output=True)
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    server = subprocess.Popen(
        [place / "postgres", "-D", data, *options],
        user=user,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(folder)
        yield f"postgresql://registry@/postgres?host={folder}"
    finally:
        server.send_signal(
            signal.SIGINT
        )  # ends sessions that a failed test left open; SIGTERM waits for them
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(folder: Path) -> None:
    import psycopg

    until = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(f"host={folder} user=registry dbname=postgres").close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
