"""Packs in the wire form of the field's existing registry, so that its own clients work against this one."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Sequence
from typing import Any

from packaging.utils import canonicalize_name
from sqlalchemy import func, true
from sqlmodel import Session, col, select

from noderack_registry.gate.inspect import SHARED
from noderack_registry.server import packs, search
from noderack_registry.server.packs import newest_first
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Pack, Publisher, Version, VersionType

_STATUS = {"active": "Active", "deprecated": "Active", "archived": "Active", "quarantined": "Banned"}
_EPOCH = (1980, 1, 1, 0, 0, 0)


def node(session: Session, pack: Pack, base: str) -> dict[str, Any]:
    """A pack as a `Node`. `latest_version` is absent when there is none: clients cannot read null."""
    publisher = packs.publisher_name(session, pack)
    found: dict[str, Any] = {
        "id": pack.key,
        "name": pack.title or pack.name,
        "description": pack.description,
        "author": pack.author or "",
        "license": json.dumps({"text": pack.licence}) if pack.licence else "{}",
        "repository": pack.repository or "",
        "icon": pack.icon or "",
        "tags": json.loads(pack.tags),
        "category": "",
        "downloads": pack.downloads,
        "rating": 0,
        "github_stars": pack.stars,
        "status": f"NodeStatus{_STATUS[pack.status]}",
        "status_detail": pack.status_reason,
        "created_at": pack.created,
        "publisher": {"id": publisher or "", "name": publisher or pack.author or ""},
    }
    if pack.latest:
        latest = packs.find_version(session, pack, pack.latest)
        found["latest_version"] = node_version(pack, latest, base)
    return found


def node_version(pack: Pack, version: Version, base: str) -> dict[str, Any]:
    """A version as a `NodeVersion`; its archive is made from the wheel."""
    facts = json.loads(version.facts)
    changelog = facts.get("changelog")
    status = "Banned" if "quarantined" in (version.status, pack.status) else "Active"
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"noderack:{pack.key}:{version.version}")),
        "node_id": pack.key,
        "version": version.version,
        "changelog": changelog if isinstance(changelog, str) else "",
        "dependencies": facts["dependencies"],
        "deprecated": version.yanked or pack.status == "deprecated",
        "downloadUrl": f"{base}/nodes/{pack.key}/versions/{version.version}/node.zip",
        "status": f"NodeVersionStatus{status}",
        "status_reason": version.yanked_reason or version.status_reason,
        "createdAt": version.uploaded,
        "comfy_node_extract_status": "success",
    }


def listing(session: Session, base: str, page: int, limit: int, names: Sequence[str] = ()) -> dict[str, Any]:
    """One page of all nodes, or of those of these names."""
    asked = col(Pack.key).in_([canonicalize_name(name) for name in names]) if names else true()
    total = session.exec(select(func.count()).select_from(Pack).where(asked)).one()
    query = select(Pack).where(asked).order_by(Pack.key).offset((page - 1) * limit).limit(limit)
    found = [node(session, pack, base) for pack in session.exec(query).all()]
    return _page(found, total, page, limit)


def found(session: Session, base: str, query: str, page: int, limit: int) -> dict[str, Any]:
    """One page of nodes that match a question."""
    hits = search.search(session, query, "pack", page, limit)
    keys = [hit.name for hit in hits.hits]
    rows = {pack.key: pack for pack in session.exec(select(Pack).where(col(Pack.key).in_(keys))).all()}
    return _page([node(session, rows[key], base) for key in keys if key in rows], hits.total, page, limit)


def _page(nodes: list[dict[str, Any]], total: int, page: int, limit: int) -> dict[str, Any]:
    return {"nodes": nodes, "total": total, "page": page, "limit": limit, "totalPages": -(-total // limit)}


def one(session: Session, base: str, name: str) -> dict[str, Any]:
    """One node."""
    return node(session, packs.find(session, name), base)


def install(session: Session, base: str, name: str, version: str | None) -> dict[str, Any]:
    """The version that a client should install: the one asked for, else the latest. Raises Refusal."""
    pack = packs.find(session, name)
    if pack.status == "quarantined" or (version is None and pack.latest is None):
        raise Refusal("no-such-version", f"{pack.name} has nothing to install here")
    row = packs.find_version(session, pack, version or str(pack.latest))
    if row.status == "quarantined":
        raise Refusal("no-such-version", f"{pack.name} {row.version} was quarantined")
    return node_version(pack, row, base)


def versions(session: Session, base: str, name: str, statuses: list[str]) -> list[dict[str, Any]]:
    """All versions of a node, newest first, of these statuses."""
    pack = packs.find(session, name)
    rows = newest_first(session.exec(select(Version).where(Version.pack_id == pack.id)).all())
    shown = [node_version(pack, row, base) for row in rows]
    return [version for version in shown if not statuses or version["status"] in statuses]


def bulk(session: Session, base: str, asked: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Many versions at once, each with its own status."""
    answers = []
    for name, version in asked:
        identifier = {"node_id": name, "version": version}
        try:
            found = install(session, base, name, version)
            answers.append({"identifier": identifier, "status": "success", "node_version": found})
        except Refusal as refusal:
            why = {"status": "not_found", "error_message": refusal.message}
            answers.append({"identifier": identifier, **why})
    return answers


def comfy_nodes(session: Session, name: str, version: str, page: int, limit: int) -> dict[str, Any]:
    """The node types of a version."""
    pack = packs.find(session, name)
    row = packs.find_version(session, pack, version)
    query = select(VersionType).where(VersionType.version_id == row.id).order_by(VersionType.type)
    rows = session.exec(query).all()
    shown = [_comfy_node(one) for one in rows[(page - 1) * limit : page * limit]]
    return {"comfy_nodes": shown, "totalNumberOfPages": -(-len(rows) // limit)}


def _comfy_node(row: VersionType) -> dict[str, Any]:
    entry = json.loads(row.entry)
    return {
        "comfy_node_name": row.type,
        "category": entry.get("category", ""),
        "description": entry.get("description", ""),
        "input_types": json.dumps(entry.get("input", {})),
        "return_types": json.dumps(entry.get("output", [])),
        "return_names": json.dumps(entry.get("output_name", [])),
        "output_is_list": entry.get("output_is_list", []),
        "deprecated": bool(entry.get("deprecated")),
        "experimental": bool(entry.get("experimental")),
        "function": entry.get("function", ""),
    }


def publisher(session: Session, name: str) -> dict[str, Any]:
    """A publisher."""
    row = session.exec(select(Publisher).where(Publisher.name == name)).first()
    if row is None:
        raise Refusal("no-such-publisher", f"no publisher {name[:100]!r}")
    status = "Banned" if row.status == "banned" else "Active"
    about = {"description": row.description, "website": row.website}
    return {"id": row.name, "name": row.title or row.name, **about, "status": f"PublisherStatus{status}"}


def archive(wheel: bytes, dependencies: list[str]) -> bytes:
    """A wheel's package as the archive that existing hosts unpack into custom_nodes: no folder on top."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(wheel)) as source,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        inside = [name for name in source.namelist() if ".dist-info/" not in name and not name.endswith("/")]
        depth = 2 if all(name.startswith(f"{SHARED}/") for name in inside) else 1
        placed = {name: "/".join(name.split("/")[depth:]) or name for name in inside}
        for name, place in placed.items():
            target.writestr(zipfile.ZipInfo(place, _EPOCH), source.read(name))
        if dependencies and "requirements.txt" not in placed.values():
            target.writestr(zipfile.ZipInfo("requirements.txt", _EPOCH), "\n".join(dependencies) + "\n")
    return out.getvalue()
