"""A registry's own database as an export. Nothing is written; quarantined packs are left out.

Server modules of the registry are imported here only, when a site is made from a database.
"""

from __future__ import annotations

import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from noderack_site.data import Raw, SiteDataError
from noderack_site.names import slug

_CHANGES = 200
_DAYS = 90
_WORKFLOWS_A_PACK, _LARGEST_WORKFLOW = 20, 4 << 20


def export(data: Path, database: str | None = None, url: str = "") -> dict[str, Any]:
    """An export of schema 1 (see `data`) of the registry whose folder is `data`.

    `url` is where its files are served from. Raises SiteDataError when there is no registry, or when the
    registry extra is not installed.
    """
    if database is None and not (data / "registry.db").exists():
        raise SiteDataError(f"{data} is no registry's folder: it has no registry.db; name it with --data")
    try:
        from noderack_registry.server import Settings, open_registry
    except ModuleNotFoundError as cause:
        hint = "install it with: pip install 'noderack[registry]'"
        raise SiteDataError(
            f"reading a registry needs {cause.name!r}, which is not installed: {hint}"
        ) from cause
    registry = open_registry(Settings(data=data, database=database))
    try:
        exported = registry.database.reading(_export, url)
        return {**exported, "workflows": list(_workflows(registry.blobs, exported["packs"]))}
    finally:
        registry.database.close()


def _export(session: Any, url: str) -> dict[str, Any]:
    from noderack_registry.server import manifests
    from noderack_registry.server.claims import claims_for
    from noderack_registry.server.tables import Claim, Event, Model, Pack
    from sqlmodel import col, select

    packs = session.exec(select(Pack).where(Pack.status != "quarantined").order_by(Pack.key)).all()
    rows = session.exec(select(Claim.type, Claim.pack_id)).all()
    models = session.exec(select(Model).order_by(col(Model.name), col(Model.id))).all()
    events = session.exec(
        select(Event).where(Event.public).order_by(col(Event.serial).desc()).limit(_CHANGES)
    ).all()
    claims = claims_for(session, (row[0] for row in rows))
    return {
        "schema": 1,
        "url": url,
        "exported": max((pack.updated for pack in packs), default=""),
        "packs": _packs(session, packs, rows, url),
        "claims": {name: [claim.to_json() for claim in found] for name, found in claims.items() if found},
        "models": [manifest.to_json() for manifest in manifests.shown(session, models, url)],
        "changes": [_change(event) for event in events],
    }


def _packs(
    session: Any, packs: Sequence[Any], rows: Sequence[tuple[str, int]], url: str
) -> list[dict[str, Any]]:
    """Packs with versions have a page of their own in the database; others are a summary and their claims."""
    from noderack_registry.server.packs import page, publisher_name, summary_fields, versions_of
    from noderack_registry.server.tables import Version
    from sqlmodel import select

    published = set(session.exec(select(Version.pack_id).distinct()).all())
    types: Mapping[int, list[str]] = defaultdict(list)
    for name, pack_id in rows:
        types[pack_id].append(name)
    records = []
    for pack in packs:
        versions = versions_of(session, pack) if pack.id in published else []
        if versions:
            releases = [_release(session, pack, version, url) for version in versions]
            shown = {"releases": releases, "history": _history(session, pack.id)}
            records.append({**page(session, pack).to_json(), **shown})
        else:
            record = summary_fields(pack, publisher_name(session, pack))
            records.append({**record, "tags": list(record["tags"]), "node_types": sorted(types[pack.id])})
    return records


def _release(session: Any, pack: Any, version: Any, url: str) -> dict[str, Any]:
    from noderack_registry.server.packs import version_page

    return version_page(session, pack, version, url).to_json()


def _history(session: Any, pack_id: int) -> list[list[Any]]:
    """[day, downloads] of the last days that had any."""
    from noderack_registry.server.tables import Download
    from sqlmodel import col, func, select

    query = select(Download.day, func.count()).where(Download.pack_id == pack_id)
    rows = session.exec(query.group_by(Download.day).order_by(col(Download.day).desc()).limit(_DAYS)).all()
    return [[day, count] for day, count in reversed(rows)]


def _workflows(blobs: Any, packs: Sequence[Raw]) -> Iterator[Raw]:
    """The example workflows that the newest wheels carry."""
    for pack in packs:
        names = list(pack.get("workflows") or ())[:_WORKFLOWS_A_PACK]
        files = next((release["files"] for release in pack.get("releases") or ()), ())
        path = blobs.path(files[0]["sha256"]) if names and files else None
        if path is not None:
            for name, graph in _graphs(path, names):
                title = PurePosixPath(name).stem.replace("_", " ")
                key = slug(f"{pack['name']} {title}")
                yield {"name": key, "title": title, "pack": pack["name"], "graph": graph}


def _graphs(wheel: Path, names: Sequence[str]) -> Iterator[tuple[str, Raw]]:
    """The workflows among these files of a wheel; what cannot be read as one is left out."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in names:
                if name.endswith(".json") and archive.getinfo(name).file_size <= _LARGEST_WORKFLOW:
                    graph = json.loads(archive.read(name))
                    if isinstance(graph, dict) and isinstance(graph.get("nodes"), list):
                        yield name, graph
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return


def _change(event: Any) -> Raw:
    keys = ("serial", "kind", "name", "version", "time")
    return json.loads(json.dumps({key: getattr(event, key) for key in keys}))  # type: ignore[no-any-return]
