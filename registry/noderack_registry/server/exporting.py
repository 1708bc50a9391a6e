"""The registry's public data as files of JSON lines, for the static site and whoever wants a copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from noderack_registry.schema import ModelManifest
from noderack_registry.server import claims, packs
from noderack_registry.server.answers import Registry
from noderack_registry.server.blobs import sync
from noderack_registry.server.tables import Asset, Claim, Model, Pack, Version

_BATCH = 500


def export(registry: Registry, target: Path, base: str = "") -> dict[str, int]:
    """Write packs, versions, node-types, models and workflows (.jsonl) into `target`; gives their lengths.

    Pictures and workflows are copied to `assets/<sha256>/<name>`, where the records' addresses lead when
    `base` is empty. The folder is made beside and put in place at the end, so a reader never sees half of it.
    """
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    counts = registry.database.reading(_write_all, part, base)
    counts["assets"] = _write_assets(registry, part)
    counts["workflows"] = _write(part / "workflows.jsonl", _workflows(registry))
    (part / "export.json").write_text(json.dumps({"schema": 1, **counts}), encoding="utf-8")
    if target.exists():
        shutil.rmtree(target)
    part.rename(target)
    sync(target.parent)
    return counts


def _write_all(session: Session, folder: Path, base: str) -> dict[str, int]:
    tables = {
        "packs": _packs(session, base),
        "versions": _versions(session, base),
        "node-types": _types(session),
        "models": _models(session),
    }
    return {name: _write(folder / f"{name}.jsonl", rows) for name, rows in tables.items()}


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
            count += 1
    return count


def _write_assets(registry: Registry, folder: Path) -> int:
    rows = registry.database.reading(_assets)
    for sha256, place in rows:
        target = folder / "assets" / sha256 / place.rpartition("/")[2]
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.writelines(registry.blobs.open(sha256))
    return len(rows)


def _assets(session: Session) -> list[tuple[str, str]]:
    """(sha256, place) of everything that a version which may be had shows."""
    query = (
        select(Asset.sha256, Asset.place)
        .join(Version, Version.id == Asset.version_id)  # type: ignore[arg-type]
        .join(Pack, Pack.id == Version.pack_id)  # type: ignore[arg-type]
        .where(Pack.status != "quarantined", Version.status != "quarantined")
    )
    return sorted({(sha256, place) for sha256, place in session.exec(query).all()})


def _workflows(registry: Registry) -> Iterator[dict[str, Any]]:
    """The example workflows of each pack's latest version, whole."""
    for pack, version, sha256, place in registry.database.reading(_latest_workflows):
        graph = json.loads(b"".join(registry.blobs.open(sha256)))
        yield {"pack": pack, "version": version, "place": place, "sha256": sha256, "graph": graph}


def _latest_workflows(session: Session) -> list[tuple[str, str, str, str]]:
    query = (
        select(Pack.key, Version.version, Asset.sha256, Asset.place)
        .join(Version, (Version.pack_id == Pack.id) & (Version.version == Pack.latest))  # type: ignore[arg-type]
        .join(Asset, Asset.version_id == Version.id)  # type: ignore[arg-type]
        .where(Pack.status != "quarantined", Asset.kind == "workflow")
        .order_by(Pack.key, col(Asset.position))
    )
    return list(session.exec(query).all())


def _packs(session: Session, base: str) -> Iterator[dict[str, Any]]:
    for pack in session.exec(select(Pack).where(Pack.status != "quarantined").order_by(Pack.key)).all():
        yield packs.page(session, pack, base).to_json()


def _versions(session: Session, base: str) -> Iterator[dict[str, Any]]:
    query = select(Pack).where(Pack.status != "quarantined", Pack.origin != "catalogue").order_by(Pack.key)
    for pack in session.exec(query).all():
        for version in packs.versions_of(session, pack):
            if version.status != "quarantined":
                yield packs.version_page(session, pack, version, base).to_json()


def _types(session: Session) -> Iterator[dict[str, Any]]:
    names = session.exec(select(Claim.type).distinct().order_by(Claim.type)).all()
    for at in range(0, len(names), _BATCH):
        for name, found in claims.claims_for(session, names[at : at + _BATCH]).items():
            own = [claim.to_json() for claim in found if claim.origin != "seen"]  # others' packs have no page
            if own:
                yield {"type": name, "claims": own}


def _models(session: Session) -> Iterator[dict[str, Any]]:
    for row in session.exec(select(Model).order_by(col(Model.name))).all():
        yield ModelManifest.from_json(json.loads(row.manifest)).to_json()
