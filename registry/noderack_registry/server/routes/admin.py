"""For admins: reserved names, revocations, the audit log. The revocation feed itself is for everybody."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session, col, select

from noderack_registry.server import lifecycle, naming, revocations
from noderack_registry.server.accounts import Actor
from noderack_registry.server.answers import need_actor, registry_of, send
from noderack_registry.server.bodies import Holder, Kill, Reason, body_as
from noderack_registry.server.documents import says
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.settings import Settings
from noderack_registry.server.tables import Event, Reserved

router = APIRouter(prefix="/api/v1", tags=["admin"])


@router.get("/reserved", openapi_extra=says(dict, kept=True))
async def reserved(request: Request) -> Response:
    """Names that are kept back."""
    return send({"reserved": await registry_of(request).database.read(reserved_names)})


def reserved_names(session: Session) -> list[dict[str, str]]:
    """Names that are kept back, with the reasons."""
    return [{"name": row.key, "reason": row.reason} for row in session.exec(select(Reserved)).all()]


@router.put("/reserved/{name}", openapi_extra=says(dict, Reason))
async def reserve(request: Request, name: str) -> Response:
    """Keep a name back (admins)."""
    return await _reserve(request, name, (await body_as(request, Reason)).reason)


@router.delete("/reserved/{name}", openapi_extra=says(dict))
async def release(request: Request, name: str) -> Response:
    """Let a name go (admins)."""
    return await _reserve(request, name, None)


async def _reserve(request: Request, name: str, reason: str | None) -> Response:
    registry, actor = registry_of(request), await need_actor(request)
    await registry.database.write(lifecycle.reserve, name, reason, actor, registry.settings.now())
    return await reserved(request)


@router.get("/allowed", openapi_extra=says(dict, kept=True))
async def allowed(request: Request) -> Response:
    """Names that an account may take although they are reserved, or look like another's."""
    return send({"allowed": await registry_of(request).database.read(naming.allowed)})


@router.put("/allowed/{name}", openapi_extra=says(dict, Holder))
async def allow(request: Request, name: str) -> Response:
    """Let an account be the first to publish under a name that would be refused (admins)."""
    return await _allow(request, name, (await body_as(request, Holder)).account)


@router.delete("/allowed/{name}", openapi_extra=says(dict))
async def allow_no_more(request: Request, name: str) -> Response:
    """Take that back (admins)."""
    return await _allow(request, name, None)


async def _allow(request: Request, name: str, account: str | None) -> Response:
    registry, actor = registry_of(request), await need_actor(request)
    await registry.database.write(naming.allow, name, account, actor, registry.settings.now())
    return await allowed(request)


@router.get("/revocations", openapi_extra=says(dict))
async def feed(request: Request) -> Response:
    """The signed list of killed artefacts, for clients to check before they install."""
    registry = registry_of(request)
    now = registry.settings.now()
    kept = await registry.database.read(revocations.kept_feed, now)
    return send(kept or await registry.database.write(revocations.feed, now))


@router.post("/revocations", openapi_extra=says(dict, Kill))
async def revoke(request: Request) -> Response:
    """Kill an artefact by hash, or all files of a version (admins)."""
    registry, actor = registry_of(request), await need_actor(request)
    wish = await body_as(request, Kill)
    await registry.database.write(kill, wish, actor, registry.settings)
    return await feed(request)


@router.post("/revocations/key", openapi_extra=says(dict))
async def change_key(request: Request) -> Response:
    """Sign the list with a new key, for which the old one vouches (admins)."""
    registry, actor = registry_of(request), await need_actor(request)
    await registry.database.write(revocations.change_key, actor, registry.settings.now())
    return await feed(request)


def kill(session: Session, wish: Kill, actor: Actor, settings: Settings) -> None:
    """Revoke what the wish names."""
    actor.need_admin()
    if (wish.sha256 is None) == (wish.version is None):
        raise Refusal("bad-value", "give sha256, or the version of a pack")
    hashes = [wish.sha256] if wish.sha256 else revocations.hashes_of(session, wish.name, wish.version or "")
    for sha256 in hashes:
        revocations.revoke(session, sha256, wish.name, wish.reason, actor, settings.now())


@router.get("/audit", openapi_extra=says(dict))
async def audit(
    request: Request,
    since: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:
    """Who did what, and when (admins)."""
    registry, actor = registry_of(request), await need_actor(request)
    actor.need_admin()
    return send({"events": await registry.database.read(events, since, limit)})


def events(session: Session, since: int, limit: int) -> list[dict[str, Any]]:
    """All events after a serial, the private ones too."""
    query = select(Event).where(col(Event.serial) > since).order_by(col(Event.serial)).limit(limit)
    return [row.model_dump() for row in session.exec(query).all()]
