"""Pictures and example workflows out of wheels, kept as files of their own and served as such."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import delete
from sqlmodel import Session, col, select

from noderack_registry import schema as wire
from noderack_registry.server.blobs import BlobStore, disk_errors
from noderack_registry.server.database import first
from noderack_registry.server.examination import Shown
from noderack_registry.server.tables import Asset, Blob, File, Pack, Version

PATH = "/assets"


def keep(blobs: BlobStore, shown: Iterable[Shown], beside: Path) -> None:
    """Put the bytes into the store. `beside` is a path on its disk whose name is free to build upon."""
    for one in shown:
        key = hashlib.sha256(one.data).hexdigest()
        if blobs.size(key) is None:
            part = beside.with_name(f"{beside.name}.{secrets.token_hex(4)}.asset")
            try:
                with disk_errors():
                    part.write_bytes(one.data)
                blobs.put(key, part)
            finally:
                part.unlink(missing_ok=True)


def forget_unused(session: Session, shown: Iterable[Shown]) -> list[str]:
    """The keys of those that nothing speaks of."""
    keys = {hashlib.sha256(one.data).hexdigest() for one in shown}
    return sorted(key for key in keys if not _is_used(session, key))


def _is_used(session: Session, sha256: str) -> bool:
    return any(
        first(session, select(column).where(column == sha256)) is not None
        for column in (Asset.sha256, Blob.sha256, File.sha256)
    )


def store(session: Session, version: Version, shown: Iterable[Shown]) -> None:
    """Write down what a version shows, in place of what was written before."""
    session.execute(delete(Asset).where(col(Asset.version_id) == version.id))
    rows = {(one.kind, one.place): (at, one) for at, one in enumerate(shown)}
    for (kind, place), (at, one) in rows.items():
        digest = hashlib.sha256(one.data).hexdigest()
        about = {"size": len(one.data), "media": one.media, "width": one.width, "height": one.height}
        row = Asset(version_id=version.id or 0, kind=kind, place=place, position=at, sha256=digest, **about)
        session.add(row)
    session.flush()


def address(sha256: str, place: str) -> str:
    """Where it is served, below the registry's address."""
    return f"{PATH}/{sha256}/{quote(place.rpartition('/')[2])}"


def addresses(shown: Iterable[Shown]) -> dict[str, str]:
    """For a README: what it calls a picture → where that is served."""
    return {one.said: address(hashlib.sha256(one.data).hexdigest(), one.place) for one in shown if one.said}


def of_version(session: Session, version_id: int | None, base: str) -> tuple[wire.Asset, ...]:
    """All of a version, in their order."""
    query = select(Asset).where(Asset.version_id == version_id).order_by(col(Asset.position))
    return tuple(_record(row, base) for row in session.exec(query).all())


def _record(row: Asset, base: str) -> wire.Asset:
    return wire.Asset(
        kind=row.kind,  # type: ignore[arg-type]
        place=row.place,
        url=base + address(row.sha256, row.place),
        sha256=row.sha256,
        size=row.size,
        media=row.media,
        width=row.width,
        height=row.height,
    )


def icon_of(session: Session, version: Version) -> str | None:
    """Where a version's icon is served, None if it has none of its own."""
    query = select(Asset).where(Asset.version_id == version.id, Asset.kind == "icon")
    row: Asset | None = first(session, query)
    return address(row.sha256, row.place) if row else None


def find(session: Session, sha256: str) -> Asset | None:
    """An asset that may be had: of a version that is not quarantined, nor its pack."""
    query = (
        select(Asset)
        .join(Version, Version.id == Asset.version_id)  # type: ignore[arg-type]
        .join(Pack, Pack.id == Version.pack_id)  # type: ignore[arg-type]
        .where(Asset.sha256 == sha256, Version.status != "quarantined", Pack.status != "quarantined")
    )
    found: Asset | None = first(session, query)
    return found
