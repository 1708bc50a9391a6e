"""Where something that happened is written down: for the changes feed and the audit log."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from noderack_registry.server.tables import Event


def stamp(now: datetime) -> str:
    """A time as it is stored and sent."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def record(
    session: Session,
    kind: str,
    name: str,
    now: datetime,
    *,
    version: str | None = None,
    actor: str = "",
    detail: str = "",
    public: bool = True,
) -> None:
    """Write down that `kind` happened to `name`; the same transaction as the thing itself."""
    if session.get_bind().dialect.name == "postgresql":
        # serials must appear in their order, or a mirror that asks "since" would miss some
        session.execute(text("SELECT pg_advisory_xact_lock(7102)"))
    session.add(
        Event(
            kind=kind,
            name=name,
            version=version,
            time=stamp(now),
            actor=actor,
            detail=detail,
            public=public,
        )
    )
