"""Models, found by hash, short hash, file name or alias."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from noderack_registry.server import manifests
from noderack_registry.server.answers import base_url, registry_of, send
from noderack_registry.server.documents import says
from noderack_registry.server.refusals import Refusal

router = APIRouter(prefix="/api/v1/models", tags=["models"])


@router.get("", openapi_extra=says(dict, kept=True))
async def find_models(
    request: Request,
    name: Annotated[str | None, Query(max_length=300)] = None,
    sha256: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Models by sha256 or AutoV2 (ten digits), or by file name; an empty list when none is known."""
    database, base = registry_of(request).database, base_url(request)
    if sha256:
        return send({"models": await database.read(manifests.by_sha256, sha256, base)})
    if name:
        return send({"models": await database.read(manifests.by_name, name, base)})
    raise Refusal("bad-value", "ask with ?sha256= or ?name=")
