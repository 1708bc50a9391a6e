"""A registry's own database as an export. Nothing is written; quarantined packs are left out.

Server modules of the registry are imported here only, when a site is made from a database.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from noderack_site.data import Raw, SiteDataError
from noderack_site.exported import example
from noderack_site.media import shown_release

_CHANGES = 200
_DAYS = 90
_WORKFLOWS_A_PACK = 20


def export(
    data: Path, database: str | None = None, url: str = "", *, copies: Path | None = None
) -> tuple[dict[str, Any], dict[str, Path]]:
    """An export of schema 1 (see `data`) of the registry whose folder is `data`, and where its pictures lie.

    `url` is where its files are served from; pictures out of a store that is elsewhere are written into the
    folder `copies`, or left out without one. Raises SiteDataError when there is no registry, or when the
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
        exported["workflows"] = list(_workflows(registry.blobs, exported["packs"]))
        return exported, dict(_pictures(registry.blobs, exported["packs"], copies))
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
        "publishers": _publishers(session),
        "models": [manifest.to_json() for manifest in manifests.shown(session, models, url)],
        "changes": [_change(event) for event in events],
    }


def _publishers(session: Any) -> dict[str, dict[str, str]]:
    from noderack_registry.server.tables import Publisher
    from sqlmodel import select

    rows = session.exec(select(Publisher).order_by(Publisher.name)).all()
    return {
        row.name: {"title": row.title, "description": row.description, "website": row.website} for row in rows
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
            records.append({**page(session, pack, url).to_json(), **shown})
        else:
            record = summary_fields(pack, publisher_name(session, pack), url)
            records.append({**record, "tags": list(record["tags"]), "node_types": sorted(types[pack.id])})
    return records


def _release(session: Any, pack: Any, version: Any, url: str) -> dict[str, Any]:
    from noderack_registry.server.packs import version_page

    record: dict[str, Any] = version_page(session, pack, version, url).to_json()
    if version.status == "quarantined":  # that there was one is told; nothing of it is handed out
        record |= {"files": [], "assets": [], "node_types": {}}
    return record


def _history(session: Any, pack_id: int) -> list[list[Any]]:
    """[day, downloads] of the last days that had any."""
    from noderack_registry.server.tables import Download
    from sqlmodel import col, func, select

    query = select(Download.day, func.count()).where(Download.pack_id == pack_id)
    rows = session.exec(query.group_by(Download.day).order_by(col(Download.day).desc()).limit(_DAYS)).all()
    return [[day, count] for day, count in reversed(rows)]


def _pictures(blobs: Any, packs: Sequence[Raw], copies: Path | None) -> Iterator[tuple[str, Path]]:
    """(sha256, file) of the pictures that the shown versions have."""
    for asset in (asset for pack in packs for asset in shown_release(pack).get("assets") or ()):
        if asset["kind"] == "workflow":
            continue
        path = blobs.path(asset["sha256"])
        if path is None and copies is not None:
            path = copies / asset["sha256"]
            with path.open("wb") as file:
                file.writelines(blobs.open(asset["sha256"]))
        if path is not None:
            yield asset["sha256"], path


def _workflows(blobs: Any, packs: Sequence[Raw]) -> Iterator[Raw]:
    """The example workflows that the newest versions show."""
    for pack in packs:
        listed = [asset for asset in shown_release(pack).get("assets") or () if asset["kind"] == "workflow"]
        for asset in listed[:_WORKFLOWS_A_PACK]:
            graph = _graph(blobs, asset)
            if graph is not None:
                yield example(str(pack["name"]), asset["place"], graph)


def _graph(blobs: Any, asset: Raw) -> Raw | None:
    """The workflow in the editor's form; None for the API's, which has no places to draw."""
    try:
        graph = json.loads(b"".join(blobs.open(asset["sha256"])))
    except (OSError, KeyError, ValueError):
        return None
    return graph if isinstance(graph, dict) and isinstance(graph.get("nodes"), list) else None


def _change(event: Any) -> Raw:
    keys = ("serial", "kind", "name", "version", "time")
    return json.loads(json.dumps({key: getattr(event, key) for key in keys}))  # type: ignore[no-any-return]
