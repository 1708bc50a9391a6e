"""Publishers, their members, and tokens."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session, col, select

from noderack_registry import names
from noderack_registry.server import accounts, lifecycle, people
from noderack_registry.server.accounts import Actor
from noderack_registry.server.answers import need_actor, registry_of, send
from noderack_registry.server.bodies import Powers, PublisherText, Role, StatusChange, TokenWish, body_as
from noderack_registry.server.database import first
from noderack_registry.server.documents import says
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.settings import Settings
from noderack_registry.server.tables import Account, Member, Pack, Token

router = APIRouter(prefix="/api/v1", tags=["accounts"])


@router.get("/accounts", openapi_extra=says(dict))
async def list_accounts(request: Request) -> Response:
    """All accounts, with the publishers that they belong to (admins)."""
    registry, actor = registry_of(request), await need_actor(request)
    actor.need_admin()
    return send({"accounts": await registry.database.read(people.accounts)})


@router.put("/accounts/{name}", openapi_extra=says(dict, Powers))
async def put_account(request: Request, name: str) -> Response:
    """Make an account if there is none, and an admin of it or not (admins)."""
    registry, actor = registry_of(request), await need_actor(request)
    wish = await body_as(request, Powers)
    await registry.database.write(people.set_admin, name, wish.admin, actor, registry.settings.now())
    return await list_accounts(request)


@router.get("/publishers", openapi_extra=says(dict, kept=True))
async def list_publishers(request: Request) -> Response:
    """All publishers, with how many packs they have."""
    return send({"publishers": await registry_of(request).database.read(people.publishers)})


@router.get("/publishers/{name}", openapi_extra=says(dict, kept=True))
async def publisher(request: Request, name: str) -> Response:
    """A publisher, its members and its packs."""
    return send(await registry_of(request).database.read(show_publisher, name))


def show_publisher(session: Session, name: str) -> dict[str, Any]:
    """What anybody may know of a publisher."""
    row = lifecycle.find_publisher(session, name)
    members = session.exec(
        select(Account.name, Member.role).join(Member).where(Member.publisher_id == row.id)
    ).all()
    packs = session.exec(select(Pack.key).where(Pack.publisher_id == row.id).order_by(Pack.key)).all()
    about = {"name": row.name, "title": row.title, "description": row.description, "website": row.website}
    listed = [{"account": account, "role": role} for account, role in members]
    return {**about, "status": row.status, "created": row.created, "members": listed, "packs": list(packs)}


@router.put("/publishers", openapi_extra=says(dict, PublisherText))
async def put_publisher(request: Request) -> Response:
    """Make a publisher, whose owner one becomes; or change what one's publisher says of itself."""
    registry, actor = registry_of(request), await need_actor(request)
    actor.need("publish")
    wish = await body_as(request, PublisherText)
    await registry.database.write(_put_publisher, wish, actor, registry.settings)
    return send(await registry.database.read(show_publisher, wish.name))


def _put_publisher(session: Session, wish: PublisherText, actor: Actor, settings: Settings) -> None:
    if names.check(wish.name) != wish.name:
        raise Refusal("bad-value", f"{wish.name[:100]!r}: use lower case, digits and '-'")
    row = accounts.ensure_publisher(session, wish.name, actor.account_id, settings.now())
    lifecycle.need_owner(session, row, actor)
    row.title, row.description, row.website = wish.title or wish.name, wish.description, wish.website
    session.add(row)


@router.put("/publishers/{name}/members/{account}", openapi_extra=says(dict, Role))
async def put_member(request: Request, name: str, account: str) -> Response:
    """Make an account an owner or a maintainer."""
    wish = await body_as(request, Role)
    return await _member(request, name, account, wish.role)


@router.delete("/publishers/{name}/members/{account}", openapi_extra=says(dict))
async def drop_member(request: Request, name: str, account: str) -> Response:
    """Take an account's role away."""
    return await _member(request, name, account, None)


async def _member(request: Request, name: str, account: str, role: str | None) -> Response:
    registry, actor = registry_of(request), await need_actor(request)
    actor.need("publish")
    names.check(account)
    await registry.database.write(lifecycle.set_member, name, account, role, actor, registry.settings.now())
    return send(await registry.database.read(show_publisher, name))


@router.put("/publishers/{name}/status", openapi_extra=says(dict, StatusChange))
async def ban(request: Request, name: str) -> Response:
    """Ban a publisher and quarantine its packs, or make it active (admins)."""
    registry, actor = registry_of(request), await need_actor(request)
    wish = await body_as(request, StatusChange)
    await registry.database.write(lifecycle.ban, name, wish.status, actor, registry.settings.now())
    return send(await registry.database.read(show_publisher, name))


@router.get("/tokens", openapi_extra=says(dict))
async def tokens(request: Request, account: Annotated[str | None, Query(max_length=200)] = None) -> Response:
    """One's own tokens, without their secrets; for admins also those of another account."""
    registry, actor = registry_of(request), await need_actor(request)
    return send({"tokens": await registry.database.read(_tokens, actor, account)})


def _tokens(session: Session, actor: Actor, account: str | None) -> list[dict[str, Any]]:
    number = actor.account_id
    if account not in (None, actor.name):
        actor.need_admin()
        number = people.find(session, account or "").id or 0
    rows = session.exec(select(Token).where(Token.account_id == number).order_by(col(Token.id))).all()
    return [
        {
            "public": row.public,
            "label": row.label,
            "scopes": json.loads(row.scopes),
            "created": row.created,
            "expires": row.expires,
            "revoked": row.revoked,
        }
        for row in rows
    ]


@router.post("/tokens", status_code=201, openapi_extra=says(dict, TokenWish))
async def make_token(request: Request) -> Response:
    """Make a token that can do no more than the one it is made with. Its text is shown this once."""
    registry, actor = registry_of(request), await need_actor(request)
    wish = await body_as(request, TokenWish)
    for scope in wish.scopes:
        actor.need(scope.partition(":")[0], scope.partition(":")[2] or None)
    if wish.account not in (None, actor.name):
        actor.need_admin()
    account = names.check(wish.account or actor.name) if wish.account else actor.name
    minted = await registry.database.write(
        accounts.create_token,
        account,
        registry.settings.now(),
        scopes=wish.scopes,
        label=wish.label,
        days=wish.days,
        actor=actor.name,
    )
    return send({"token": minted.text, "public": minted.public, "scopes": wish.scopes}, 201)


@router.delete("/tokens/{public}", openapi_extra=says(dict))
async def revoke_token(request: Request, public: str) -> Response:
    """Make one of one's own tokens worthless; admins may do it to any."""
    registry, actor = registry_of(request), await need_actor(request)
    await registry.database.write(_revoke, public, actor, registry.settings)
    return send({"public": public, "revoked": True})


def _revoke(session: Session, public: str, actor: Actor, settings: Settings) -> None:
    row: Token | None = first(session, select(Token).where(Token.public == public))
    may = actor.admin and "admin" in actor.scopes
    if row is None or (row.account_id != actor.account_id and not may):
        raise Refusal("no-such-token", f"{actor.name} has no token {public[:40]!r}")
    accounts.revoke_token(session, public, settings.now(), actor.name)
