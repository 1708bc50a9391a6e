"""Which names a first publish may take: none that is kept back, none that passes for somebody else's."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, col, select

from noderack_registry import names
from noderack_registry.server import accounts
from noderack_registry.server.accounts import Actor
from noderack_registry.server.database import first
from noderack_registry.server.events import record
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Note, Pack, Reserved, SearchDoc

WELL_KNOWN = 500  # so many of the most popular packs are guarded against slips of the finger
SHORTEST = 5  # among shorter names one letter is no slip
# Documents are ordered by popularity (search.py): below this id are packs with 64 downloads, or 4 stars.
_POPULAR_ID = (31 - 7 + 1) << 58
_ALLOWED = "allowed-name:"


def check(session: Session, name: str, actor: Actor) -> None:
    """Raise Refusal unless the actor may be the first to publish under this name. Admins may take any."""
    if (actor.admin and "admin" in actor.scopes) or _is_allowed(session, name, actor):
        return
    if names.reserved(name) or _is_reserved(session, name):
        raise Refusal("reserved-name", f"the name {name!r} is reserved")
    alike = first(session, select(Pack.name).where(Pack.ultra == names.ultra(name)))
    if alike:
        raise Refusal("similar-name", f"the name {name!r} looks like {alike!r}, which exists")
    near = _one_slip_away(session, name, actor)
    if near:
        raise Refusal("similar-name", f"the name {name!r} is one slip away from {near!r}, which many know")


def _is_reserved(session: Session, name: str) -> bool:
    return first(session, select(Reserved.key).where(Reserved.key == names.key(name))) is not None


def _one_slip_away(session: Session, name: str, actor: Actor) -> str | None:
    """A well-known name of somebody else that one letter more, less, other or swapped makes of this one."""
    if len(names.key(name)) < SHORTEST:
        return None
    query = select(SearchDoc.ref).where(SearchDoc.kind == 0, SearchDoc.id < _POPULAR_ID)
    known = session.exec(query.order_by(col(SearchDoc.id)).limit(WELL_KNOWN)).all()
    guarded: list[str] = [*sorted(names.RESERVED), *known]
    for other in guarded:
        if (
            len(other) >= SHORTEST
            and names.one_step_apart(name, other)
            and not _is_own(session, other, actor)
        ):
            return other
    return None


def _is_own(session: Session, key: str, actor: Actor) -> bool:
    pack: Pack | None = first(session, select(Pack).where(Pack.key == key))
    return pack is not None and accounts.role(session, pack.publisher_id, actor.account_id) is not None


def _is_allowed(session: Session, name: str, actor: Actor) -> bool:
    note = session.get(Note, _ALLOWED + names.key(name))
    return note is not None and note.value == actor.name


def allow(session: Session, name: str, account: str | None, actor: Actor, now: datetime) -> None:
    """Let an account take a name that is reserved or looks like another's; None takes that back. Admins."""
    actor.need_admin()
    key = _ALLOWED + names.check(name)
    known = session.get(Note, key)
    if account is not None:
        session.merge(Note(key=key, value=names.check(account)))
    elif known is None:
        raise Refusal("no-such-name", f"the name {name!r} is allowed to nobody")
    else:
        session.delete(known)
    detail = f"for {account}" if account else "no more"
    record(session, "name-allowed", names.key(name), now, actor=actor.name, detail=detail, public=False)


def allowed(session: Session) -> list[dict[str, str]]:
    """Names that an account may take although they would be refused."""
    rows = session.exec(select(Note).where(col(Note.key).startswith(_ALLOWED)).order_by(Note.key)).all()
    return [{"name": row.key.removeprefix(_ALLOWED), "account": row.value} for row in rows]
