"""The simple index, for pip and uv. It knows packs and nothing else, and it never sends anyone elsewhere."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from noderack_registry.server import packs, simple
from noderack_registry.server.answers import registry_of
from noderack_registry.server.documents import serves
from noderack_registry.server.refusals import Refusal

MEDIA = (simple.JSON_TYPE, simple.HTML_TYPE, "text/html")
router = APIRouter(tags=["simple index"])


@router.get("/simple/", openapi_extra=serves(*MEDIA, kept=True))
@router.get("/simple", include_in_schema=False, openapi_extra=serves(*MEDIA, kept=True))
async def projects(request: Request) -> Response:
    """All packs of which something can be installed."""
    media = _media(request)
    found = await registry_of(request).database.read(simple.names_with_files)
    return Response(simple.render(simple.root(found), media), media_type=media)


@router.get("/simple/{name}/", openapi_extra=serves(*MEDIA, kept=True))
@router.get("/simple/{name}", include_in_schema=False, openapi_extra=serves(*MEDIA, kept=True))
async def project(request: Request, name: str) -> Response:
    """The files of one pack, with hashes, metadata files, yanks, sizes and times."""
    media = _media(request)
    page = await registry_of(request).database.read(_page, name)
    return Response(simple.render(page, media), media_type=media)


def _page(session: Session, name: str) -> dict[str, object]:
    page = simple.project(session, packs.find(session, name))
    if page is None:
        raise Refusal("no-such-pack", f"{name[:100]!r} has nothing to install in this registry")
    return page


def _media(request: Request) -> str:
    media = simple.choose(request.query_params.get("format") or request.headers.get("accept", ""))
    if media is None:
        raise Refusal("not-acceptable", "the index comes as JSON or HTML")
    return media
