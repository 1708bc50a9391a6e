"""Node types, and the resolve question of `nodes install-missing`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from noderack_registry.schema import ModelQuery, Resolution
from noderack_registry.server import claims, manifests, packs
from noderack_registry.server.answers import base_url, registry_of, send
from noderack_registry.server.bodies import Question, body_as
from noderack_registry.server.documents import says
from noderack_registry.server.refusals import Refusal

router = APIRouter(prefix="/api/v1", tags=["node types"])

MOST_TYPES, MOST_MODELS, MOST_PACKS = 5_000, 1_000, 1_000


@router.get("/node-types/{type_:path}", openapi_extra=says(dict, kept=True))
async def node_type(request: Request, type_: str) -> Response:
    """All claims to a node type, best first, each with the reason for its place."""
    found = await registry_of(request).database.read(claims.claims_for, [type_])
    if not found[type_]:
        raise Refusal("no-such-type", f"no pack has a node type {type_[:100]!r}")
    return send({"type": type_, "claims": found[type_]})


@router.post("/resolve", openapi_extra=says(Resolution, Question))
async def resolve(request: Request) -> Response:
    """Candidates for all node types and models of a workflow at once, and what packs' names mean."""
    wish = await body_as(request, Question)
    _refuse_too_many(wish)
    return send(await registry_of(request).database.read(_resolve, wish, base_url(request)))


def _resolve(session: Session, wish: Question, base: str) -> Resolution:
    models = [ModelQuery(model.name, model.folder, model.sha256) for model in wish.models]
    return Resolution(
        claims.claims_for(session, wish.node_types),
        manifests.resolve(session, models, base),
        packs.meant(session, wish.packs, base),
    )


def _refuse_too_many(wish: Question) -> None:
    if len(wish.node_types) > MOST_TYPES or len(wish.models) > MOST_MODELS or len(wish.packs) > MOST_PACKS:
        told = f"at most {MOST_TYPES} node types, {MOST_MODELS} models and {MOST_PACKS} packs at a time"
        raise Refusal("bad-value", told)
