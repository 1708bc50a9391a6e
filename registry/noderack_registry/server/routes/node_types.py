"""Node types, and the resolve question of `nodes install-missing`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from noderack_registry.errors import Malformed
from noderack_registry.schema import ModelQuery, Resolution
from noderack_registry.server import claims, manifests
from noderack_registry.server.answers import base_url, json_body, registry_of, send
from noderack_registry.server.refusals import Refusal

router = APIRouter(prefix="/api/v1", tags=["node types"])

MOST_TYPES, MOST_MODELS = 5_000, 1_000


@router.get("/node-types/{type_:path}")
async def node_type(request: Request, type_: str) -> Response:
    """All claims to a node type, best first, each with the reason for its place."""
    found = await registry_of(request).database.read(claims.claims_for, [type_])
    if not found[type_]:
        raise Refusal("no-such-type", f"no pack has a node type {type_[:100]!r}")
    return send({"type": type_, "claims": found[type_]})


@router.post("/resolve")
async def resolve(request: Request) -> Response:
    """Candidates for all node types and models of a workflow at once."""
    types, models = _questions(await json_body(request))
    return send(await registry_of(request).database.read(_resolve, types, models, base_url(request)))


def _resolve(session: Session, types: list[str], models: list[ModelQuery], base: str) -> Resolution:
    return Resolution(claims.claims_for(session, types), manifests.resolve(session, models, base))


def _questions(body: Any) -> tuple[list[str], list[ModelQuery]]:
    if not isinstance(body, dict):
        raise Refusal("bad-value", "the body must be an object with node_types and models")
    types, models = body.get("node_types", []), body.get("models", [])
    if not isinstance(types, list) or not all(isinstance(name, str) for name in types):
        raise Refusal("bad-value", "node_types must be a list of strings")
    if not isinstance(models, list) or len(types) > MOST_TYPES or len(models) > MOST_MODELS:
        raise Refusal("bad-value", f"at most {MOST_TYPES} node types and {MOST_MODELS} models at a time")
    try:
        return types, [ModelQuery.from_json(item) for item in models]
    except Malformed as cause:
        raise Refusal("bad-value", f"models: {cause.message}") from cause
