"""The changes feed: what a mirror or a local index has to look at since it last asked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session, col, select

from noderack_registry.schema import Change
from noderack_registry.server.answers import registry_of, send
from noderack_registry.server.documents import says
from noderack_registry.server.tables import Event

router = APIRouter(prefix="/api/v1", tags=["changes"])


@router.get("/changes", openapi_extra=says(dict, kept=True))
async def changes(
    request: Request,
    since: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:
    """Changes after serial `since`, oldest first; `last` is where to go on."""
    found = await registry_of(request).database.read(after, since, limit)
    return send({"changes": found, "last": found[-1].serial if found else since})


def after(session: Session, since: int, limit: int) -> list[Change]:
    """Public events after a serial."""
    query = select(Event).where(col(Event.serial) > since, col(Event.public)).order_by(col(Event.serial))
    return [
        Change(row.serial or 0, row.kind, row.name, row.version, row.time)
        for row in session.exec(query.limit(limit)).all()
    ]
