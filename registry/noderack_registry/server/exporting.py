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
from noderack_registry.server.tables import Claim, Model, Pack

_BATCH = 500


def export(registry: Registry, target: Path, base: str = "") -> dict[str, int]:
    """Write packs, versions, node-types and models (.jsonl) into `target`; gives their lengths.

    The folder is made beside and put in place at the end, so a reader never sees half of it.
    """
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    counts = registry.database.reading(_write_all, part, base)
    (part / "export.json").write_text(json.dumps({"schema": 1, **counts}), encoding="utf-8")
    if target.exists():
        shutil.rmtree(target)
    part.rename(target)
    sync(target.parent)
    return counts


def _write_all(session: Session, folder: Path, base: str) -> dict[str, int]:
    tables = {
        "packs": _packs(session),
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


def _packs(session: Session) -> Iterator[dict[str, Any]]:
    for pack in session.exec(select(Pack).where(Pack.status != "quarantined").order_by(Pack.key)).all():
        yield packs.page(session, pack).to_json()


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
            if found:
                yield {"type": name, "claims": [claim.to_json() for claim in found]}


def _models(session: Session) -> Iterator[dict[str, Any]]:
    for row in session.exec(select(Model).order_by(col(Model.name))).all():
        yield ModelManifest.from_json(json.loads(row.manifest)).to_json()
