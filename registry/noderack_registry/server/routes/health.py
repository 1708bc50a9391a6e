"""Is it well?"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy import func, text
from sqlmodel import Session, select

from noderack_registry.server.answers import registry_of, send
from noderack_registry.server.documents import says
from noderack_registry.server.tables import Claim, Model, Pack, Version

router = APIRouter(tags=["operations"])


@router.get("/healthz", openapi_extra=says(dict))
async def health(request: Request) -> Response:
    """200 when the registry can answer questions: its database does."""
    alive = await registry_of(request).database.read(
        lambda session: session.connection().execute(text("SELECT 1"))
    )
    return send({"status": "ok" if alive else "failing", "version": request.app.version})


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Counts and times for Prometheus."""
    registry = registry_of(request)
    gauges = await registry.database.read(_gauges)
    return Response(registry.metrics.text(**gauges), media_type="text/plain; version=0.0.4")


def _gauges(session: Session) -> dict[str, float]:
    counted = {"packs": Pack, "versions": Version, "claims": Claim, "models": Model}
    return {
        name: session.exec(select(func.count()).select_from(table)).one() for name, table in counted.items()
    }
