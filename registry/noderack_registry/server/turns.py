"""Publishing and clearing away take turns, over all processes that share a database and a blob store.

A blob comes before the row that shows it. Whoever removes blobs that nothing shows must not meet one whose
row is on its way: many may publish at a time, who clears away does it alone. A killed process holds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from noderack_registry.server.database import Database

_TURN = 7103


@contextmanager
def publishing(database: Database) -> Iterator[None]:
    """While the block runs nobody clears away."""
    with _turn(database, alone=False):
        yield


@contextmanager
def clearing(database: Database) -> Iterator[None]:
    """While the block runs nobody publishes, nor clears away."""
    with _turn(database, alone=True):
        yield


@contextmanager
def _turn(database: Database, alone: bool) -> Iterator[None]:
    if database.is_sqlite:
        with _locked(Path(database.url.removeprefix("sqlite:///") + ".turn"), alone):
            yield
    else:
        with _advised(database.engine, "" if alone else "_shared"):
            yield


@contextmanager
def _locked(path: Path, alone: bool) -> Iterator[None]:
    """The lock of a file. Windows has none that many may hold, so there one process has to serve alone."""
    try:
        import fcntl
    except ModuleNotFoundError:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@contextmanager
def _advised(engine: Engine, kind: str) -> Iterator[None]:
    """PostgreSQL's lock of a number: a session has it until it says otherwise, or ends."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock{kind}({_TURN})")
        try:
            yield
        finally:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock{kind}({_TURN})")
