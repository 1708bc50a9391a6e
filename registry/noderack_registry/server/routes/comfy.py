"""The routes that existing clients call, at the places where they call them."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session, select

from noderack_registry.server import accounts, claims, comfy, packs, tickets
from noderack_registry.server.accounts import Actor
from noderack_registry.server.answers import base_url, json_body, registry_of, send
from noderack_registry.server.documents import says
from noderack_registry.server.incoming import receive, waiting_room
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import File
from noderack_registry.server.tickets import Ticket

router = APIRouter(tags=["existing clients"], include_in_schema=False)

Page = Annotated[int, Query(ge=1, le=100_000)]
Limit = Annotated[int, Query(ge=1, le=200)]


@router.get("/nodes", openapi_extra=says(dict, kept=True))
async def nodes(
    request: Request,
    page: Page = 1,
    limit: Limit = 10,
    node_id: Annotated[list[str] | None, Query(max_length=200)] = None,
) -> Response:
    """One page of all packs, or of those asked for by name."""
    asked = (base_url(request), page, max(limit, len(node_id or ())), node_id or ())
    return send(await registry_of(request).database.read(comfy.listing, *asked))


@router.get("/nodes/search", openapi_extra=says(dict, kept=True))
async def search(
    request: Request, search: Annotated[str, Query(max_length=200)] = "", page: Page = 1, limit: Limit = 10
) -> Response:
    """Packs that match."""
    return send(await registry_of(request).database.read(comfy.found, base_url(request), search, page, limit))


@router.get("/nodes/{name}", openapi_extra=says(dict, kept=True))
async def node(request: Request, name: str) -> Response:
    """One pack."""
    return send(await registry_of(request).database.read(comfy.one, base_url(request), name))


@router.get("/nodes/{name}/install")
async def install(request: Request, name: str, version: str | None = None) -> Response:
    """The version to install."""
    return send(await registry_of(request).database.read(comfy.install, base_url(request), name, version))


@router.get("/nodes/{name}/versions", openapi_extra=says(dict, kept=True))
async def versions(
    request: Request, name: str, statuses: Annotated[list[str] | None, Query()] = None
) -> Response:
    """All versions of a pack."""
    asked = statuses or []
    return send(await registry_of(request).database.read(comfy.versions, base_url(request), name, asked))


@router.get("/nodes/{name}/versions/{version}", openapi_extra=says(dict, kept=True))
async def version(request: Request, name: str, version: str) -> Response:
    """One version."""
    return send(await registry_of(request).database.read(comfy.install, base_url(request), name, version))


@router.get("/nodes/{name}/versions/{version}/comfy-nodes", openapi_extra=says(dict, kept=True))
async def comfy_nodes(
    request: Request, name: str, version: str, page: Page = 1, limit: Limit = 100
) -> Response:
    """The node types of a version."""
    return send(await registry_of(request).database.read(comfy.comfy_nodes, name, version, page, limit))


@router.get("/nodes/{name}/versions/{version}/node.zip")
async def archive(request: Request, name: str, version: str) -> Response:
    """A version as the archive that existing hosts unpack."""
    registry = registry_of(request)
    sha256, dependencies, file_of = await registry.database.read(_wheel, name, version)
    if request.client:
        registry.downloads.saw(*file_of, request.client.host, registry.settings.now())
    wheel = await to_thread.run_sync(lambda: b"".join(registry.blobs.open(sha256)))
    return Response(comfy.archive(wheel, dependencies), media_type="application/zip")


def _wheel(session: Session, name: str, version: str) -> tuple[str, list[str], tuple[int, str]]:
    pack = packs.find(session, name)
    told = comfy.install(session, "", name, version)
    row = packs.find_version(session, pack, version)
    file = session.exec(select(File).where(File.version_id == row.id).order_by(File.filename)).first()
    if file is None:
        raise Refusal("no-such-file", f"{name} {version} has no file")
    return file.sha256, told["dependencies"], (row.pack_id, row.version)


@router.get("/comfy-nodes/{type_:path}/node", openapi_extra=says(dict, kept=True))
async def node_of_type(request: Request, type_: str) -> Response:
    """The pack that has a node type."""
    return send(await registry_of(request).database.read(_node_of_type, type_, base_url(request)))


def _node_of_type(session: Session, type_: str, base: str) -> dict[str, Any]:
    found = [one for one in claims.claims_for(session, [type_])[type_] if one.origin != "seen"]
    if not found:
        raise Refusal("no-such-type", f"no pack has a node type {type_[:100]!r}")
    return comfy.one(session, base, found[0].pack)


@router.post("/bulk/nodes/versions")
async def bulk(request: Request) -> Response:
    """Many versions at once."""
    body = await json_body(request)
    asked = body.get("node_versions") if isinstance(body, dict) else None
    if not isinstance(asked, list) or len(asked) > 1000 or not all(isinstance(one, dict) for one in asked):
        raise Refusal("bad-value", "node_versions must be a list of at most 1000 objects")
    pairs = [(str(one.get("node_id")), str(one.get("version"))) for one in asked]
    return send(
        {"node_versions": await registry_of(request).database.read(comfy.bulk, base_url(request), pairs)}
    )


@router.get("/publishers/validate", openapi_extra=says(dict, kept=True))
async def validate(request: Request, username: str) -> Response:
    """Is a publisher's name free?"""
    try:
        await registry_of(request).database.read(comfy.publisher, username)
    except Refusal:
        return send({"isAvailable": True})
    return send({"isAvailable": False})


@router.get("/publishers/{name}", openapi_extra=says(dict, kept=True))
async def publisher(request: Request, name: str) -> Response:
    """A publisher."""
    return send(await registry_of(request).database.read(comfy.publisher, name))


@router.post("/publishers/{publisher}/nodes/{name}/versions")
async def announce(request: Request, publisher: str, name: str) -> Response:
    """First step of publishing: says what will come, gets the address to send it to."""
    registry, body = registry_of(request), await json_body(request)
    told = body.get("node_version") if isinstance(body, dict) else None
    if not isinstance(told, dict) or not isinstance(told.get("version"), str):
        raise Refusal("bad-value", "node_version.version is missing")
    actor = await registry.database.read(
        accounts.authenticate, str(body.get("personal_access_token")), registry.settings.now()
    )
    actor.need("publish", name)
    ticket = Ticket(
        actor.account_id,
        actor.name,
        actor.admin,
        tuple(sorted(actor.scopes)),
        publisher,
        name,
        tickets.normal_version(told["version"]),
        tickets.expiry(registry.settings.now()),
        str(told.get("changelog") or "")[:10_000],
    )
    secret = await registry.database.write(tickets.issue, ticket)
    shown = {"id": secret[:8], "version": ticket.version, "changelog": ticket.changelog}
    answer = {**shown, "status": "NodeVersionStatusPending", "node_id": name, "dependencies": []}
    return send({"signedUrl": f"{base_url(request)}/upload/{secret}", "node_version": answer}, 201)


@router.put("/upload/{secret}")
async def upload(request: Request, secret: str) -> Response:
    """Second step: the archive. It becomes a wheel, which passes the same gate as any other."""
    registry = registry_of(request)
    ticket = await registry.database.write(tickets.take, secret, registry.settings.now())
    actor = Actor(ticket.account_id, ticket.account, ticket.admin, frozenset(ticket.scopes))
    with waiting_room(registry.incoming) as path:
        await receive(request.stream(), path, registry.settings.wheel.file)
        done = await to_thread.run_sync(lambda: registry.publisher.publish_archive(path, ticket, actor))
    return send(done)
