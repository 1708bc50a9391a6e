"""Is it well?"""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, Request, Response

from noderack_registry.server.answers import registry_of, send
from noderack_registry.server.documents import says

router = APIRouter(tags=["operations"])


@router.get("/healthz", openapi_extra=says(dict))
async def health(request: Request) -> Response:
    """200 when the registry can answer questions: its database does."""
    alive = registry_of(request).database.alive()
    return send({"status": "ok" if alive else "failing", "version": version("noderack")})
