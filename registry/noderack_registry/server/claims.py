"""Claims to node types: who has a type, in which order, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from packaging.version import Version as PythonVersion
from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from noderack_registry.schema import TypeClaim
from noderack_registry.server.events import stamp
from noderack_registry.server.tables import Claim, Pack, Pattern, Version

_TRUST = {"verified": 0, "declared": 1, "syntax": 2, "catalogue": 3}
_MUCH = 10  # times as popular: enough for the first to be no coin toss
_KNOWN = 20 * 5  # five stars: enough for a pack that alone has a type, where only a catalogue says so
_PER_QUERY = 500
LONGEST_TYPE = 200


@dataclass(frozen=True, slots=True)
class Claimant:
    """One claim with what its rank depends on."""

    claim: Claim
    pack: Pack
    yanked: bool = False
    pattern: str | None = None

    @property
    def popularity(self) -> int:
        return self.pack.downloads + 20 * self.pack.stars

    @property
    def share(self) -> float:
        """How many of the pack's types it shares with others: a collection of copies has a high share."""
        return self.claim.shared / 1000


def claim(
    session: Session, pack: Pack, version: str, types: Iterable[str], *, origin: str, now: datetime
) -> None:
    """Write down that this version of the pack has these node types."""
    wanted = sorted(types)
    mine = {row.type: row for row in session.exec(select(Claim).where(Claim.pack_id == pack.id)).all()}
    taken = _claimed_by_others(session, wanted, pack)
    for name in wanted:
        row = mine.get(name)
        if row is None:
            row = Claim(type=name, pack_id=pack.id or 0, since=stamp(now), newcomer=name in taken)
        if row.version is None or PythonVersion(row.version) <= PythonVersion(version):
            row.version, row.origin = version, origin
        session.add(row)
    session.flush()


def _claimed_by_others(session: Session, types: Sequence[str], pack: Pack) -> set[str]:
    found: set[str] = set()
    for at in range(0, len(types), _PER_QUERY):
        query = select(Claim.type).where(
            col(Claim.type).in_(types[at : at + _PER_QUERY]), Claim.pack_id != pack.id
        )
        found.update(session.exec(query).all())
    return found


def drop_catalogue(session: Session, pack: Pack) -> tuple[str, ...]:
    """Forget what a catalogue alone said of a pack that now speaks for itself; gives the types concerned."""
    query = select(Claim.type).where(Claim.pack_id == pack.id, Claim.origin == "catalogue")
    dropped = tuple(session.exec(query).all())
    session.execute(delete(Claim).where(col(Claim.pack_id) == pack.id, col(Claim.origin) == "catalogue"))
    return dropped


def claimed_types(session: Session, pack: Pack) -> tuple[str, ...]:
    """The node types that a pack is known for."""
    return tuple(session.exec(select(Claim.type).where(Claim.pack_id == pack.id).order_by(Claim.type)).all())


def claims_for(session: Session, types: Iterable[str]) -> dict[str, tuple[TypeClaim, ...]]:
    """All claims to each of the types, best first; an empty tuple for types that nobody has."""
    wanted = sorted(set(types))
    found: dict[str, list[Claimant]] = {name: [] for name in wanted}
    for at in range(0, len(wanted), _PER_QUERY):
        query = (
            select(Claim, Pack, Version.yanked, Version.status)
            .join(Pack, Pack.id == Claim.pack_id)  # type: ignore[arg-type]
            .join(
                Version,
                (Version.pack_id == Claim.pack_id) & (Version.version == Claim.version),  # type: ignore[arg-type]
                isouter=True,
            )
            .where(col(Claim.type).in_(wanted[at : at + _PER_QUERY]), Pack.status != "quarantined")
        )
        for row, pack, yanked, status in session.exec(query).all():
            if status != "quarantined":
                found[row.type].append(Claimant(row, pack, bool(yanked)))
    unknown = [name for name, claimants in found.items() if not claimants]
    found.update(_by_pattern(session, unknown))
    return {name: rank(claimants) for name, claimants in found.items()}


def _by_pattern(session: Session, types: Sequence[str]) -> dict[str, list[Claimant]]:
    """Packs whose pattern fits a type that nobody lists."""
    found: dict[str, list[Claimant]] = {}
    rows = session.exec(select(Pattern, Pack).join(Pack)).all() if types else ()
    for row, pack in rows:
        fits = _compiled(row.pattern)
        for name in types:
            if fits and len(name) <= LONGEST_TYPE and fits.search(name):
                claim = Claim(type=name, pack_id=pack.id or 0, origin="catalogue", since=pack.created)
                found.setdefault(name, []).append(Claimant(claim, pack, pattern=row.pattern))
    return found


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None


def rank(claimants: Sequence[Claimant]) -> tuple[TypeClaim, ...]:
    """Claims in order. What can be installed comes first, newcomers to a type behind whoever had it."""
    ordered = sorted(claimants, key=_order)
    doubtful = bool(ordered) and not _clear(ordered)
    return tuple(
        _shown(claimant, at, len(ordered), doubtful and at == 1) for at, claimant in enumerate(ordered, 1)
    )


def _order(one: Claimant) -> tuple[object, ...]:
    return (
        one.yanked,
        one.pack.status != "active",
        one.claim.newcomer,
        _TRUST[one.claim.origin],
        not one.claim.preferred,
        one.share >= 0.5,
        -one.popularity,
        one.claim.since,
        one.pack.key,
    )


def _clear(ordered: Sequence[Claimant]) -> bool:
    """True if the first may be taken without a question.

    A catalogue's word for a pack that hardly anyone uses is not enough: that is what a squatter looks like.
    """
    first = ordered[0]
    if len(ordered) > 1:
        return _clearly_first(first, ordered[1])
    return first.claim.origin != "catalogue" or first.claim.preferred or first.popularity >= _KNOWN


def _clearly_first(first: Claimant, second: Claimant) -> bool:
    """True if no reasonable rule would put the second one first."""
    if (first.yanked, first.claim.newcomer) < (second.yanked, second.claim.newcomer):
        return True
    if first.pack.status == "active" != second.pack.status:
        return True
    if first.claim.preferred and not second.claim.preferred:
        return True
    if _TRUST[first.claim.origin] + 1 < _TRUST[second.claim.origin]:
        return True
    # A pack that others copied shares its types too; what tells it from the copies is how many use it.
    original = first.share < 0.5 or second.share >= 0.5
    return original and first.popularity >= _MUCH * max(second.popularity, 1)


def _shown(one: Claimant, at: int, of: int, doubtful: bool) -> TypeClaim:
    return TypeClaim(
        type=one.claim.type,
        pack=one.pack.key,
        version=one.claim.version,
        origin=one.claim.origin,  # type: ignore[arg-type]
        rank=at,
        reason=_reason(one, of),
        repository=one.pack.repository,
        title=one.pack.title or one.pack.name,
        yanked=one.yanked,
        ambiguous=doubtful,
    )


def _reason(one: Claimant, of: int) -> str:
    """Why the claim stands where it stands, in the words of a person."""
    said = {
        "verified": "seen by importing it",
        "declared": "declared by the pack",
        "syntax": "read from its source",
        "catalogue": "listed in the public catalogue",
    }[one.claim.origin]
    if one.pattern:
        said = f"its name fits the pattern {one.pattern} of the public catalogue"
    parts = [said, "the only claim" if of == 1 else f"one of {of} claims"]
    if one.claim.preferred and of > 1:
        parts.append("its editors chose this pack")
    if one.yanked:
        parts.append("its version was yanked")
    if one.pack.status != "active":
        parts.append(f"the pack is {one.pack.status}")
    if one.claim.newcomer:
        parts.append("another pack had this type first")
    if of > 1 and one.share >= 0.5:
        parts.append("most of its types are also in other packs")
    if of > 1:
        parts.append(f"{one.pack.downloads} downloads, {one.pack.stars} stars")
    return "; ".join(parts)


def count(session: Session) -> int:
    """How many claims there are."""
    return session.exec(select(func.count()).select_from(Claim)).one()
