"""The channel files of the field's existing manager, made from what the registry knows."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session, select

from noderack_registry.schema import ModelManifest
from noderack_registry.server.answers import base_url, registry_of, send
from noderack_registry.server.documents import says
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Claim, Model, Pack

router = APIRouter(prefix="/channel", tags=["existing clients"], include_in_schema=False)


@router.get("/{name}.json", openapi_extra=says(dict, kept=True))
async def channel(request: Request, name: str) -> Response:
    """custom-node-list, extension-node-map, model-list, alter-list, github-stats or extras."""
    if name not in FILES:
        raise Refusal("not-found", f"a channel has no file {name[:60]!r}")
    data = await registry_of(request).database.read_long(FILES[name], base_url(request))
    return send(data)


def _address(pack: Pack, base: str) -> str:
    return pack.repository or f"{base}/nodes/{pack.key}"


def _packs(session: Session) -> list[Pack]:
    return list(session.exec(select(Pack).where(Pack.status != "quarantined").order_by(Pack.key)).all())


def node_list(session: Session, base: str) -> dict[str, Any]:
    """All packs."""
    return {
        "custom_nodes": [
            {
                "author": pack.author or "",
                "title": pack.title or pack.name,
                "id": pack.key,
                "reference": _address(pack, base),
                "files": [_address(pack, base)],
                "install_type": "git-clone",
                "description": pack.description,
            }
            for pack in _packs(session)
        ]
    }


def node_map(session: Session, base: str) -> dict[str, Any]:
    """Which pack has which node types."""
    found: dict[str, Any] = {}
    query = (
        select(Claim.type, Pack).join(Pack).where(Pack.status != "quarantined").order_by(Pack.key, Claim.type)
    )
    for name, pack in session.exec(query).all():
        entry = found.setdefault(_address(pack, base), [[], {"title_aux": pack.title or pack.name}])
        entry[0].append(name)
    return found


def model_list(session: Session, base: str) -> dict[str, Any]:
    """All models that somebody else serves."""
    rows = session.exec(select(Model).order_by(Model.name)).all()
    manifests = [ModelManifest.from_json(json.loads(row.manifest)) for row in rows]
    return {
        "models": [
            {
                "name": one.title or one.name,
                "type": one.kind or one.folder,
                "base": one.base or "",
                "save_path": one.folder,
                "description": one.description,
                "reference": one.page or "",
                "filename": one.name,
                "url": one.sources[0].url,
                "size": f"{one.size / 1e6:.2f}MB" if one.size else "",
            }
            for one in manifests
            if one.sources
        ]
    }


def stars(session: Session, base: str) -> dict[str, Any]:
    """Stars by repository."""
    return {
        _address(pack, base): {"stars": pack.stars, "last_update": pack.updated} for pack in _packs(session)
    }


def _nothing(session: Session, base: str) -> dict[str, Any]:
    return {"items": []}


FILES = {
    "custom-node-list": node_list,
    "extension-node-map": node_map,
    "model-list": model_list,
    "github-stats": stars,
    "alter-list": _nothing,
    "extras": lambda session, base: {"favorites": []},
}
