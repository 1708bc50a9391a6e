"""Which schema a database has, and bringing it to the one that this code knows, in one transaction.

A database that is current is not looked at further, and Alembic is not even imported: starting stays fast.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlmodel import SQLModel

from noderack_registry.server import search, tables
from noderack_registry.server.database import Database

HEAD = "0005"
MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaError(Exception):
    """The database cannot be used by this version. `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def prepare(database: Database) -> None:
    """Make a new database's tables, or bring an older one up to date. Raises SchemaError for a newer."""
    with database.engine.connect() as connection:
        if version(connection) == HEAD:
            return
        connection.rollback()
        if database.is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:  # two processes may start at once on a new database
            connection.execute(text("SELECT pg_advisory_xact_lock(7101)"))
        _bring_up(connection)
        connection.commit()


def version(connection: Connection) -> str | None:
    """The schema's version, None for an empty database."""
    if not _has_version_table(connection):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _has_version_table(connection: Connection) -> bool:
    return inspect(connection).has_table("alembic_version")


def _bring_up(connection: Connection) -> None:
    now = version(connection)
    if now == HEAD:
        return
    if now is None:
        create(connection)
        return
    if now > HEAD:
        raise SchemaError(
            f"the database has schema {now}, this version of the registry knows {HEAD}",
            "install a newer version",
        )
    upgrade(connection)


def create(connection: Connection) -> None:
    """All tables of a new database, at once; a test asserts that the migrations lead to the same."""
    SQLModel.metadata.create_all(connection, tables=[table.__table__ for table in tables.ALL])  # type: ignore[attr-defined]
    search.create_index(connection)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run the migrations that are missing."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
