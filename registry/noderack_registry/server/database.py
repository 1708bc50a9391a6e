"""The database: SQLite in WAL mode or PostgreSQL, read and written through functions of a session.

A query is a plain function whose first argument is a Session. `Database.read` and `.write` run it; reads of
SQLite run in place (they take microseconds and never wait), everything else in a worker thread.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from typing import Any, Concatenate, ParamSpec, TypeVar

from anyio import to_thread
from sqlalchemy import Engine, TextClause, create_engine, event, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import Session, SQLModel
from sqlmodel.sql.expression import SelectOfScalar

from noderack_registry.server.refusals import Refusal

P = ParamSpec("P")
T = TypeVar("T")

BUSY_MS = 15_000


def first(session: Session, query: SelectOfScalar[T]) -> T | None:
    """The first row of a query for one thing, None when there is none."""
    found: T | None = session.exec(query).first()
    return found


def column(session: Session, query: TextClause, **bound: object) -> tuple[Any, ...]:
    """The first column of a query in SQL, four times as fast as by expressions; flushes nothing."""
    return tuple(row[0] for row in session.connection().execute(query, bound).all())


def insert_new(session: Session, table: type[SQLModel]) -> Any:
    """An INSERT that leaves out rows that are there already, in the dialect of the session's database.

    The other database's dialect is never imported: it would be a fortieth of the time of starting.
    """
    dialect = import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}")
    return dialect.insert(table).on_conflict_do_nothing()


class Database:
    """One database, many sessions."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _sqlite(url) if self.is_sqlite else _postgres(url)
        # SQLite has one writer at a time anyway; waiting here is fair, waiting in SQLite is a lottery.
        self._writing = threading.Lock()

    async def read(self, query: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a query that changes nothing."""
        if self.is_sqlite:
            return self.reading(query, *args, **kwargs)
        return await to_thread.run_sync(lambda: self.reading(query, *args, **kwargs))

    async def read_long(
        self, query: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`read`, for what takes so long that others must be answered meanwhile."""
        return await to_thread.run_sync(lambda: self.reading(query, *args, **kwargs))

    async def write(
        self, query: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a query in a transaction of its own: all of it happens, or nothing."""
        return await to_thread.run_sync(lambda: self.writing(query, *args, **kwargs))

    async def state(self) -> object:
        """Something that is equal to an earlier answer of this process only if nothing was written since."""
        if self.is_sqlite:
            return self._watch.execute("PRAGMA data_version").fetchone()[0]
        return await to_thread.run_sync(self._snapshot)

    def _snapshot(self) -> str:
        """Which transactions are visible now: it changes with every one that ends, and never goes back."""
        with self.engine.connect() as connection:
            return str(connection.exec_driver_sql("SELECT pg_current_snapshot()::text").scalar())

    @cached_property
    def _watch(self) -> sqlite3.Connection:
        """A connection that writes nothing: only others' commits move its data_version."""
        return sqlite3.connect(
            self.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
        )

    def reading(self, query: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read`, for callers that are not async."""
        with Session(self.engine, expire_on_commit=False) as session:
            return query(session, *args, **kwargs)

    def writing(self, query: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write`, for callers that are not async."""
        with self._translated(), self._one_writer(), Session(self.engine, expire_on_commit=False) as session:
            if self.is_sqlite:
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            result = query(session, *args, **kwargs)
            session.commit()
            return result

    def close(self) -> None:
        """Close all connections; for SQLite this also folds the write-ahead log into the file."""
        if watch := self.__dict__.pop("_watch", None):
            watch.close()
        self.engine.dispose()

    def alive(self) -> bool:
        """True if the database answers."""
        return bool(self.reading(lambda session: session.connection().execute(text("SELECT 1")).scalar()))

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        if not self.is_sqlite:
            yield
            return
        with self._writing:
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as cause:
            raise _refusal(cause) from cause
        except IntegrityError as cause:
            raise Refusal("already-there", "another request did the same at the same moment") from cause


def _refusal(cause: OperationalError) -> Exception:
    said = str(cause.orig).lower()
    if "full" in said or "no space" in said:
        return Refusal("no-space", "the database cannot grow: no space left")
    if "locked" in said or "busy" in said:
        return Refusal("database-busy", "another process holds the database")
    return cause


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False}, pool_size=32, max_overflow=0)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # sqlite3 must not begin transactions behind our back
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA cache_size=-65536")
        connection.execute("PRAGMA mmap_size=1073741824")

    return engine


def _postgres(url: str) -> Engine:
    return create_engine(url, pool_size=16, max_overflow=16, pool_pre_ping=True)
