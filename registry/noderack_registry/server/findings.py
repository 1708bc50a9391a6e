"""What the check found in each version, kept and shown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from sqlmodel import Session, col, select

from noderack_registry import schema as wire
from noderack_registry.packing.finding import Finding
from noderack_registry.server.events import stamp
from noderack_registry.server.tables import Claim, Examination, Pack, Version

_PER_QUERY = 500
LONGEST = 500


def store(session: Session, version: Version, findings: Iterable[Finding], rules: str, now: datetime) -> None:
    """Write down what was found in a version by these rules."""
    rows = [_shown(one) for one in findings]
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace").decode()
    session.merge(
        Examination(
            version_id=version.id or 0,
            rules=rules,
            time=stamp(now),
            errors=sum(row["level"] == "error" for row in rows),
            warnings=sum(row["level"] == "warning" for row in rows),
            findings=text.replace("\\u0000", ""),
        )
    )


def _shown(one: Finding) -> dict[str, str | int]:
    return {
        "rule": one.rule,
        "level": one.level,
        "file": one.file[:LONGEST],
        "line": one.line,
        "message": one.message[:LONGEST],
        "mend": one.mend[:LONGEST],
    }


def of_version(session: Session, version: Version) -> tuple[str, tuple[wire.CheckFinding, ...]]:
    """By which rules a version was checked ('' for not yet), and what was found."""
    row = session.get(Examination, version.id)
    if row is None:
        return "", ()
    return row.rules, tuple(wire.CheckFinding.from_json(item) for item in json.loads(row.findings))


def taken(session: Session, types: Iterable[str], pack: Pack | None) -> dict[str, str]:
    """For each of these node types that another pack has: the pack that had it first."""
    wanted, found = sorted(set(types)), dict[str, str]()
    for at in range(0, len(wanted), _PER_QUERY):
        query = (
            select(Claim.type, Pack.key)
            .join(Pack, Pack.id == Claim.pack_id)  # type: ignore[arg-type]
            .where(col(Claim.type).in_(wanted[at : at + _PER_QUERY]), Pack.status == "active")
            .order_by(col(Claim.newcomer), col(Claim.since), col(Claim.id))
        )
        for name, key in session.exec(query).all():
            if pack is None or key != pack.key:
                found.setdefault(name, key)
    return found
