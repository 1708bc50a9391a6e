"""What workflows say of where their node types are from: evidence that `nodes registry learn` collects.

A workflow names the pack that its author had, so it knows packs that no catalogue lists. It is hearsay all
the same: anybody can write a workflow. So each workflow counts once whatever its copies, an answer says how
many there are, and what only workflows say is never installed by itself (see claims.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, text
from sqlmodel import Session, col, select

from noderack_registry import names
from noderack_registry.server.database import insert_new
from noderack_registry.server.tables import Sighting

LONGEST_TYPE = 200
CORE = "comfy-core"  # what workflows call the host's own nodes
_PLACE = re.compile(r"[\w-][\w.-]*/[\w.-]+", re.ASCII)
_VERSION = re.compile(r"[\w.+-]{1,64}", re.ASCII)
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Named:
    """A node type with the pack that a workflow names for it: its id, its owner/repository, its version."""

    type: str
    pack: str = ""
    place: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a run of learning did. `workflows` were new; `types` are those that they name a pack for."""

    workflows: int = 0
    known: int = 0
    types: int = 0


class Seen(NamedTuple):
    """How many workflows name one pack for one type, and the newest spelling of it."""

    workflows: int
    pack: str
    place: str
    version: str

    @property
    def key(self) -> str:
        """The pack's id, or the name of its repository."""
        return names.key(self.pack or self.place.rpartition("/")[2])

    @property
    def said(self) -> str:
        """The pack as the workflows call it."""
        return " ".join(part for part in (self.pack or self.place, self.version) if part)


def named(type_: str, pack: str | None, place: str | None, version: str | None) -> Named | None:
    """The record of what a workflow says of a type, None where it says nothing that can be used."""
    pack = pack if pack and _is_name(pack) else ""
    place = place if place and _PLACE.fullmatch(place) else ""
    if not (pack or place) or pack == CORE or not 0 < len(type_) <= LONGEST_TYPE:
        return None
    return Named(type_, pack, place.lower(), version if version and _VERSION.fullmatch(version) else "")


def _is_name(pack: str) -> bool:
    try:
        return bool(names.check(pack))
    except names.BadName:
        return False


def digest(workflow: Iterable[Named]) -> str:
    """What makes two workflows one: the same types from the same packs, whatever else differs."""
    rows = sorted({(one.type, names.key(one.pack), one.place) for one in workflow})
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:32]


def learn(session: Session, workflows: Sequence[Sequence[Named]]) -> Learned:
    """Write down what the workflows name; those that are known already change nothing."""
    by_digest = {digest(one): one for one in workflows if one}
    known = {found for found in by_digest if _known(session, found)}
    fresh = {found: one for found, one in by_digest.items() if found not in known}
    rows = [
        {"type": o.type, "workflow": w, "pack": o.pack, "place": o.place, "version": o.version}
        for w, one in fresh.items()
        for o in one
    ]
    for at in range(0, len(rows), _BATCH):
        session.execute(insert_new(session, Sighting), rows[at : at + _BATCH])
    return Learned(len(fresh), len(by_digest) - len(fresh), len({row["type"] for row in rows}))


def _known(session: Session, workflow: str) -> bool:
    query = select(Sighting.type).where(Sighting.workflow == workflow).limit(1)
    return session.exec(query).first() is not None


def forget(session: Session, workflows: Iterable[str] | None = None) -> int:
    """Take back what was learned, or what was learned of these; gives how many workflows there were."""
    before = count(session)
    chosen = delete(Sighting)
    if workflows is not None:
        chosen = chosen.where(col(Sighting.workflow).in_(list(workflows)))
    session.execute(chosen)
    return before - count(session)


def count(session: Session) -> int:
    """How many workflows were learned from."""
    return session.exec(select(func.count(func.distinct(Sighting.workflow)))).one()


_SEEN = text("SELECT type, pack, place, version FROM sighting WHERE type IN :types").bindparams(
    bindparam("types", expanding=True)
)


def seen(session: Session, types: Sequence[str]) -> dict[str, tuple[Seen, ...]]:
    """For each of the types that workflows name a pack for: the packs, most often named first."""
    found: dict[str, list[Named]] = {}
    for row in session.connection().execute(_SEEN, {"types": list(types)}).all():
        found.setdefault(row[0], []).append(Named(*row))
    return {type_: _grouped(rows) for type_, rows in found.items()}


def _grouped(rows: Sequence[Named]) -> tuple[Seen, ...]:
    """One for each pack, by its bare name: ids and repositories of one pack have that in common."""
    groups: dict[str, list[Named]] = {}
    for one in rows:
        groups.setdefault(names.bare(one.pack or one.place.rpartition("/")[2]), []).append(one)
    return tuple(sorted(map(_together, groups.values()), key=lambda one: (-one.workflows, one.key)))


def _together(rows: Sequence[Named]) -> Seen:
    ids, places, versions = (
        Counter(filter(None, said))
        for said in zip(*((o.pack, o.place, o.version) for o in rows), strict=True)
    )
    return Seen(len(rows), _most(ids), _most(places), _most(versions))


def _most(said: Counter[str]) -> str:
    return max(sorted(said), key=lambda one: said[one], default="")
