"""Claims to node types: who has a type, in which order, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from packaging.version import Version as PythonVersion
from sqlalchemy import bindparam, delete, func, text
from sqlmodel import Session, col, select

from noderack_registry import names
from noderack_registry.schema import TypeClaim
from noderack_registry.server import sightings
from noderack_registry.server.database import column
from noderack_registry.server.events import stamp
from noderack_registry.server.tables import Claim, Pack

_TRUST = {"verified": 0, "declared": 1, "syntax": 2, "catalogue": 3, "seen": 3}
_MUCH = 10  # times as popular: enough for the first to be no coin toss
_KNOWN = 20 * 5  # five stars: enough for a pack that alone has a type, where only a catalogue says so
_ALONE = {"seen": ""}  # says so by itself
_A_FEW = 2  # workflows: one alone may be a slip
_PER_QUERY = 500
LONGEST_TYPE = 200


class Claimant(NamedTuple):
    """One claim with what its rank depends on. A tuple, as a workflow asks for hundreds of them at once."""

    type: str
    version: str | None
    origin: str
    newcomer: bool
    preferred: bool
    shared: int
    since: str
    key: str
    title: str
    repository: str | None
    status: str
    downloads: int
    stars: int
    yanked: bool = False
    pattern: str | None = None
    seen: int = 0
    seen_as: str = ""

    @property
    def popularity(self) -> int:
        return self.downloads + 20 * self.stars

    @property
    def stands(self) -> bool:
        """True for a pack that people use: a name alone is easily made."""
        return self.popularity >= _KNOWN

    @property
    def share(self) -> float:
        """How many of the pack's types it shares with others: a collection of copies has a high share."""
        return self.shared / 1000


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


_TYPES = text("SELECT type FROM claim WHERE pack_id = :pack ORDER BY type")


def claimed_types(session: Session, pack: Pack) -> tuple[str, ...]:
    """The node types that a pack is known for."""
    return column(session, _TYPES, pack=pack.id)


_PACK = (
    "p.key, CASE WHEN p.title = '' THEN p.name ELSE p.title END, p.repository, p.status, p.downloads, p.stars"
)
_CLAIMS = text(
    "SELECT c.type, c.version, c.origin, c.newcomer, c.preferred, c.shared, c.since, "
    f"{_PACK}, COALESCE(v.yanked, false) FROM claim c JOIN pack p ON p.id = c.pack_id "
    "LEFT JOIN version v ON v.pack_id = c.pack_id AND v.version = c.version WHERE c.type IN :types "
    "AND p.status != 'quarantined' AND COALESCE(v.status, '') != 'quarantined'"
).bindparams(bindparam("types", expanding=True))


def claims_for(session: Session, types: Iterable[str]) -> dict[str, tuple[TypeClaim, ...]]:
    """All claims to each of the types, best first; an empty tuple for types that nobody has."""
    wanted = sorted(set(types))
    found: dict[str, list[Claimant]] = {name: [] for name in wanted}
    for at in range(0, len(wanted), _PER_QUERY):
        asked = {"types": wanted[at : at + _PER_QUERY]}
        for row in session.connection().execute(_CLAIMS, asked).all():
            found[row[0]].append(Claimant(*row))
    unknown = [name for name, claimants in found.items() if not claimants]
    found.update(_by_pattern(session, unknown))
    for at in range(0, len(wanted), _PER_QUERY):
        for name, packs in sightings.seen(session, wanted[at : at + _PER_QUERY]).items():
            found[name] = _with_seen(session, name, found.get(name, []), packs)
    return {name: rank(claimants) for name, claimants in found.items()}


def _with_seen(
    session: Session, type_: str, claimants: Sequence[Claimant], packs: Sequence[sightings.Seen]
) -> list[Claimant]:
    """The claims with how many workflows name each, and the packs that only workflows name."""
    found = list(claimants)
    for seen in packs:
        at = next((n for n, one in enumerate(found) if _is_named(one, seen)), None)
        if at is None:
            found += _only_seen(session, type_, seen)
        else:
            found[at] = found[at]._replace(seen=seen.workflows, seen_as=seen.said)
    return found


def _is_named(one: Claimant, seen: sightings.Seen) -> bool:
    mine = (one.repository or "").rstrip("/").removesuffix(".git").rpartition("/")[2]
    said = (seen.pack, seen.place.rpartition("/")[2])
    return bool({names.bare(one.key), names.bare(mine)} & {names.bare(name) for name in said if name})


_NAMED = text(f"SELECT p.created, {_PACK} FROM pack p WHERE p.key = :key OR p.repository_key = :place")


def _only_seen(session: Session, type_: str, seen: sightings.Seen) -> list[Claimant]:
    """The claim that workflows make for a pack, one of this registry or not; none for a quarantined one."""
    asked = {"key": seen.key, "place": f"github.com/{seen.place}"}
    rows = session.connection().execute(_NAMED, asked).all()
    row: Sequence[Any] = min(rows, key=lambda row: row[1] != seen.key, default=_unknown(seen))
    one = Claimant(type_, None, "seen", False, False, 0, *row)
    return [one._replace(seen=seen.workflows, seen_as=seen.said)] * (one.status != "quarantined")


def _unknown(seen: sightings.Seen) -> tuple[object, ...]:
    place = f"https://github.com/{seen.place}" if seen.place else None
    return "", seen.key, seen.pack or seen.place, place, "active", 0, 0


_PATTERNS = text(
    f"SELECT t.pattern, p.created, {_PACK} FROM pattern t JOIN pack p ON p.id = t.pack_id "
    "WHERE p.status != 'quarantined'"
)


def _by_pattern(session: Session, types: Sequence[str]) -> dict[str, list[Claimant]]:
    """Packs whose pattern fits a type that nobody lists."""
    found: dict[str, list[Claimant]] = {}
    for pattern, since, *pack in session.connection().execute(_PATTERNS).all() if types else ():
        fits = _compiled(pattern)
        for name in types:
            if fits and len(name) <= LONGEST_TYPE and fits.search(name):
                one = Claimant(name, None, "catalogue", False, False, 0, since, *pack)
                found.setdefault(name, []).append(one._replace(pattern=pattern))
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
    won = _by_age(ordered) or _by_popularity(ordered)
    return tuple(
        _shown(claimant, at, len(ordered), doubtful and at == 1, won if at == 1 else "")
        for at, claimant in enumerate(ordered, 1)
    )


def _order(one: Claimant) -> tuple[object, ...]:
    return (
        one.yanked,
        one.status != "active",
        one.newcomer,
        _TRUST[one.origin],
        not one.preferred,
        one.share >= 0.5,
        -one.popularity,
        one.since,
        one.key,
    )


def _clear(ordered: Sequence[Claimant]) -> bool:
    """True if the first may be taken without a question.

    A catalogue's word for a pack that hardly anyone uses is not enough: that is what a squatter looks like.
    """
    first = ordered[0]
    if _outvoted(first, ordered[1:]):
        return False
    if len(ordered) > 1:
        return _clearly_first(first, ordered[1])
    return first.origin != "catalogue" or first.preferred or first.stands or first.seen > 0


def _outvoted(first: Claimant, others: Sequence[Claimant]) -> bool:
    """True if the first rests on hearsay, and more workflows name another, and not just one."""
    if first.preferred or _TRUST[first.origin] < _TRUST["catalogue"]:
        return False
    return any(one.seen > max(first.seen, _A_FEW - 1) for one in others)


def _clearly_first(first: Claimant, second: Claimant) -> bool:
    """True if no reasonable rule would put the second one first."""
    if _maybe_the_original(first, second):
        return False
    return _stands_better(first, second) or _much_more_popular(first, second) or _named(first, second)


def _stands_better(first: Claimant, second: Claimant) -> bool:
    """True if what is known of the two puts the first one first, however many use them."""
    if (first.yanked, first.newcomer) < (second.yanked, second.newcomer):
        return True
    if first.status == "active" != second.status:
        return True
    if first.preferred and not second.preferred:
        return True
    return _TRUST[first.origin] + 1 < _TRUST[second.origin]


def _maybe_the_original(first: Claimant, second: Claimant) -> bool:
    """True if a catalogue's word for a pack that hardly anyone uses stands before a published pack."""
    hearsay = _TRUST[first.origin] >= _TRUST["catalogue"] and not (first.preferred or first.stands)
    return hearsay and _TRUST[second.origin] < _TRUST["catalogue"] and not second.yanked


def _named(first: Claimant, second: Claimant) -> bool:
    """True if workflows name the first alone, and that is no accident: it is in use, or several do."""
    if not first.seen or second.seen:
        return False
    return (first.stands and not second.stands) or (
        first.seen >= _A_FEW and first.popularity >= second.popularity
    )


def _much_more_popular(first: Claimant, second: Claimant) -> bool:
    """True if the first has users enough to be no coin toss, and is no collection of copies."""
    # A pack that others copied shares its types too; what tells it from the copies is how many use it.
    original = first.share < 0.5 or second.share >= 0.5
    return original and first.popularity >= _MUCH * max(second.popularity, 1)


def _by_age(ordered: Sequence[Claimant]) -> str:
    """What the first says of itself when all others came to the type after it; else empty."""
    first, others = ordered[:1], ordered[1:]
    later = bool(others) and not first[0].newcomer and all(one.newcomer for one in others)
    return "it had this type before the others" if later else ""


def _by_popularity(ordered: Sequence[Claimant]) -> str:
    """What the first says of itself when it is clear by popularity alone; else empty."""
    if len(ordered) < 2 or _maybe_the_original(*ordered[:2]) or _stands_better(*ordered[:2]):
        return ""
    if not _much_more_popular(*ordered[:2]):
        return ""
    said = f"at least {_MUCH} times as popular as the next claim"
    if ordered[0].share < 0.5:
        return said
    return f"{said}, so taken for the original of the types that it shares with other packs"


def _shown(one: Claimant, at: int, of: int, doubtful: bool, won: str) -> TypeClaim:
    return TypeClaim(
        type=one.type,
        pack=one.key,
        version=one.version,
        origin=one.origin,  # type: ignore[arg-type]
        rank=at,
        reason=_reason(one, of, won),
        repository=one.repository,
        title=one.title,
        yanked=bool(one.yanked),
        ambiguous=doubtful,
    )


def _reason(one: Claimant, of: int, won: str) -> str:
    """Why the claim stands where it stands, in the words of a person. `won`: what speaks for the first."""
    said = {
        "verified": "seen by importing it",
        "declared": "declared by the pack",
        "syntax": "read from its source",
        "catalogue": "listed in the public catalogue",
        "seen": "no pack here lists it",
    }[one.origin]
    if one.pattern:
        said = f"its name fits the pattern {one.pattern} of the public catalogue"
    parts = [said, *_seen(one), f"one of {of} claims" if of > 1 else _ALONE.get(one.origin, "the only claim")]
    if one.preferred and of > 1:
        parts.append("its editors chose this pack")
    if one.yanked:
        parts.append("its version was yanked")
    if one.status != "active":
        parts.append(f"the pack is {one.status}")
    if one.newcomer:
        parts.append("another pack had this type first")
    if won:
        parts.append(won)
    elif of > 1 and one.share >= 0.5:
        parts.append("most of its types are also in other packs")
    if of > 1:
        counts = ((one.downloads, "downloads"), (one.stars, "stars"))
        parts += [", ".join(f"{number} {word}" for number, word in counts if number)]
    return "; ".join(part for part in parts if part)


def _seen(one: Claimant) -> list[str]:
    if not one.seen:
        return []
    many = f"{one.seen} workflows say" if one.seen > 1 else "a workflow says"
    return [f"{many} that it is of {one.seen_as}"]


def count(session: Session) -> int:
    """How many claims there are."""
    return session.exec(select(func.count()).select_from(Claim)).one()
