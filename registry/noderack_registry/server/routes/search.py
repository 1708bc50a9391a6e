"""The search box."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from noderack_registry.schema import SearchPage
from noderack_registry.server import search
from noderack_registry.server.answers import registry_of, send
from noderack_registry.server.documents import says

router = APIRouter(prefix="/api/v1", tags=["search"])


@router.get("/search", openapi_extra=says(SearchPage, kept=True))
async def find(
    request: Request,
    q: Annotated[str, Query(max_length=200)],
    kind: Literal["pack", "node-type", "model"] | None = None,
    page: Annotated[int, Query(ge=1, le=50)] = 1,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """Packs, node types and models that match, best first, with how many there are of each kind."""
    return send(await registry_of(request).database.read(search.search, q, kind, page, limit))
