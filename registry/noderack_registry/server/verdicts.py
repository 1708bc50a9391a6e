"""What came of importing versions: who is next, and how an outcome is kept and shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, col, select

from noderack_registry.server import claims, findable, packs
from noderack_registry.server.accounts import Actor, need_member
from noderack_registry.server.database import first
from noderack_registry.server.events import record, stamp
from noderack_registry.server.tables import Pack, Verification, Version, VersionType

PATIENCE = timedelta(hours=1)
MOST_TOLD = 50
LONGEST = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an import gave. `types` maps each type that appeared to its object_info entry."""

    status: str
    reason: str
    seconds: float = 0.0
    types: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    barriers: dict[str, str] = field(default_factory=dict)
    python: str = ""


def ask(session: Session, name: str, number: str, actor: Actor, now: datetime) -> None:
    """Put a version in the queue: members of its publisher may, and admins. Raises Refusal."""
    pack = packs.find(session, name)
    actor.need("publish", pack.key)
    need_member(session, actor, pack)
    version = packs.find_version(session, pack, number)
    session.merge(Verification(version_id=version.id or 0, status="waiting", time=stamp(now)))
    packs.touch(session, pack, now)


def anything(session: Session, now: datetime) -> bool:
    """Whether `take_next` would find a version."""
    return _next(session, now) is not None


def take_next(session: Session, now: datetime) -> tuple[str, str] | None:
    """The version to look at next, now marked as running: asked for, else a latest that nobody saw."""
    number = _next(session, now)
    if number is None:
        return None
    session.merge(Verification(version_id=number, status="running", time=stamp(now)))
    version = session.get_one(Version, number)
    return session.get_one(Pack, version.pack_id).key, version.version


def _next(session: Session, now: datetime) -> int | None:
    late = stamp(now - PATIENCE)
    status = col(Verification.status)
    asked = select(Verification.version_id).where(
        (status == "waiting") | ((status == "running") & (col(Verification.time) < late))
    )
    found: int | None = first(session, asked.order_by(col(Verification.time)).limit(1))
    return found or _unseen(session)


def _unseen(session: Session) -> int | None:
    query = (
        select(Version.id)
        .join(Pack, (Pack.id == Version.pack_id) & (Pack.latest == Version.version))  # type: ignore[arg-type]
        .join(Verification, Verification.version_id == Version.id, isouter=True)  # type: ignore[arg-type]
        .where(col(Verification.version_id).is_(None), Pack.status == "active")
        .order_by(col(Version.id).desc())
        .limit(1)
    )
    return first(session, query)


def to_do(session: Session, wish: str | None) -> list[tuple[str, str]]:
    """(pack, version) of PACK (its latest) or PACK==VERSION; for None every latest that nobody saw."""
    name, _, number = (wish or "").partition("==")
    if name:
        pack = packs.find(session, name)
        version = packs.find_version(session, pack, number or pack.latest or "")
        return [(pack.key, version.version)]
    query = (
        select(Pack.key, Version.version)
        .join(Version, (Version.pack_id == Pack.id) & (Version.version == Pack.latest))  # type: ignore[arg-type]
        .join(Verification, Verification.version_id == Version.id, isouter=True)  # type: ignore[arg-type]
        .where(
            col(Verification.version_id).is_(None) | (col(Verification.status) == "waiting"),
            Pack.status == "active",
        )
        .order_by(Pack.key)
    )
    return list(session.exec(query).all())


def declared(session: Session, name: str, number: str) -> set[str]:
    """The types that a version was said to have before anybody looked."""
    version = packs.find_version(session, packs.find(session, name), number)
    query = select(VersionType.type).where(VersionType.version_id == version.id)
    return set(session.exec(query).all())


def store(session: Session, name: str, number: str, outcome: Outcome, now: datetime) -> None:
    """Keep an outcome; types that appeared are verified from here on, with the schema that they showed."""
    pack = packs.find(session, name)
    version = packs.find_version(session, pack, number)
    report = {
        "types": sorted(outcome.types),
        "missing": list(outcome.missing),
        "failures": [text[:LONGEST] for text in outcome.failures[:MOST_TOLD]],
        "barriers": outcome.barriers,
        "python": outcome.python,
    }
    row = Verification(version_id=version.id or 0, status=outcome.status, reason=outcome.reason[:LONGEST])
    row.time, row.seconds, row.report = stamp(now), outcome.seconds, _text(report)
    session.merge(row)
    for kind, entry in outcome.types.items():
        known = session.get(VersionType, (version.id, kind))
        known = known or VersionType(version_id=version.id or 0, type=kind)
        known.entry, known.origin = _text(entry), "verified"
        session.add(known)
    session.flush()
    claims.claim(session, pack, version.version, outcome.types, origin="verified", now=now)
    packs.touch(session, pack, now)
    findable.refresh(session, pack)
    kind = "version-verified" if outcome.status in ("verified", "partial") else "version-not-verified"
    record(
        session, kind, pack.key, now, version=version.version, actor="verifier", detail=outcome.reason[:200]
    )


def _text(value: Any) -> str:
    plain = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
    return plain.encode("utf-8", "replace").decode()
