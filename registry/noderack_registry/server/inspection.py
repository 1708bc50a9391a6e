"""Do database and blobs agree? What `nodes registry check` proves, and what `--repair` clears away."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from packaging.version import Version as PythonVersion
from sqlalchemy import text
from sqlmodel import Session, col, select

from noderack_registry.server import turns
from noderack_registry.server.answers import Registry
from noderack_registry.server.packs import latest_of
from noderack_registry.server.tables import Asset, Blob, Claim, File, Model, Pack, Version, VersionType

UNDER_WAY = 3600.0  # seconds without a byte; a client may pause for thirty


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that does not agree. `kind` is stable; `repairable` ones are mere leftovers."""

    kind: str
    what: str
    repairable: bool = False


def check(registry: Registry, contents: bool = True) -> list[Fault]:
    """Every fault there is; with `contents` every file is hashed. None proves it."""
    shown = registry.database.reading(_shown)
    kept = set(registry.blobs.keys())
    faults = [Fault("missing-blob", key) for key in sorted(shown.keys() - kept)]
    faults += [Fault("orphan-blob", key, repairable=True) for key in sorted(kept - shown.keys())]
    faults += [
        fault
        for key in sorted(kept & shown.keys())
        if contents
        for fault in _content(registry, key, shown[key])
    ]
    faults += registry.database.reading(_rows)
    return [*faults, *(Fault("left-upload", name, repairable=True) for name in left_uploads(registry))]


def left_uploads(registry: Registry, now: float | None = None) -> list[str]:
    """Uploads that nobody writes to any more: one under way grows, or is being checked, within the hour."""
    latest = (time.time() if now is None else now) - UNDER_WAY
    if not registry.incoming.exists():
        return []
    found = []
    for path in registry.incoming.iterdir():
        with suppress(FileNotFoundError):  # it has come in meanwhile
            if path.stat().st_mtime < latest:
                found.append(path.name)
    return sorted(found)


def repair(registry: Registry, faults: list[Fault]) -> None:
    """Remove leftovers, also while the registry serves: what was published meanwhile stays."""
    with turns.clearing(registry.database):
        shown, left = registry.database.reading(_shown), left_uploads(registry)
        for fault in faults:
            if fault.kind == "orphan-blob" and fault.what not in shown:
                registry.blobs.delete(fault.what)
            elif fault.kind == "left-upload" and fault.what in left:
                (registry.incoming / fault.what).unlink(missing_ok=True)


def _shown(session: Session) -> dict[str, str]:
    """Blob keys that rows speak of, with the sha256 that each must have."""
    found = {}
    for file in session.exec(select(File)).all():
        found[file.sha256] = file.sha256
        found[f"{file.sha256}.metadata"] = file.metadata_sha256
    for table in (Blob.sha256, Asset.sha256):
        found.update((sha256, sha256) for sha256 in session.exec(select(table)).all())
    return found


def _content(registry: Registry, key: str, expected: str) -> Iterator[Fault]:
    digest = hashlib.sha256()
    for block in registry.blobs.open(key):
        digest.update(block)
    if digest.hexdigest() != expected:
        yield Fault("wrong-content", f"{key} has sha256 {digest.hexdigest()}")


def _rows(session: Session) -> list[Fault]:
    return [*_database(session), *_versions(session), *_models(session)]


def _database(session: Session) -> Iterator[Fault]:
    if session.get_bind().dialect.name == "sqlite":
        for row in session.connection().execute(text("PRAGMA integrity_check")):
            if row[0] != "ok":
                yield Fault("database", str(row[0]))
        for row in session.connection().execute(text("PRAGMA foreign_key_check")):
            yield Fault("dangling-row", f"{row[0]} {row[1]}")


def _versions(session: Session) -> Iterator[Fault]:
    with_file = set(session.exec(select(File.version_id)).all())
    by_pack: dict[int, list[Version]] = {}
    for version in session.exec(select(Version)).all():
        by_pack.setdefault(version.pack_id, []).append(version)
        if version.id not in with_file:
            yield Fault("version-without-file", f"version {version.id}")
    claims = {
        (row.pack_id, row.type)
        for row in session.exec(select(Claim).where(col(Claim.version).is_not(None))).all()
    }
    for pack in session.exec(select(Pack).where(Pack.origin != "catalogue")).all():
        rows = by_pack.get(pack.id or 0, [])
        latest = latest_of(rows)
        if pack.latest != (latest.version if latest else None):
            yield Fault("wrong-latest", f"{pack.key}: {pack.latest}")
        newest = max(rows, key=lambda row: PythonVersion(row.version), default=None)
        types = (
            session.exec(select(VersionType.type).where(VersionType.version_id == newest.id)).all()
            if newest
            else ()
        )
        for name in types:
            if (pack.id, name) not in claims:
                yield Fault("missing-claim", f"{pack.key}: {name}")


def _models(session: Session) -> Iterator[Fault]:
    for row in session.exec(select(Model)).all():
        if json.loads(row.manifest).get("sha256") != row.sha256:
            yield Fault("wrong-manifest", f"model {row.id}")
