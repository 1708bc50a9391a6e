"""What may still happen to what was published: yanks, statuses, transfers. Bytes and numbers never change."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, select

from noderack_registry import names
from noderack_registry.server import accounts, findable, packs
from noderack_registry.server.accounts import OWNER, Actor
from noderack_registry.server.database import first
from noderack_registry.server.events import record
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Member, Pack, Publisher, Reserved

STATUSES = ("active", "deprecated", "archived", "quarantined")


def yank(session: Session, name: str, version: str, reason: str | None, actor: Actor, now: datetime) -> None:
    """Take a version out of what installers choose by themselves (reason), or back in (None)."""
    pack = packs.find(session, name)
    actor.need("publish", pack.key)
    accounts.need_member(session, actor, pack)
    row = packs.find_version(session, pack, version)
    row.yanked, row.yanked_reason = reason is not None, reason or ""
    session.add(row)
    kind = "version-yanked" if row.yanked else "version-unyanked"
    _changed(session, pack, kind, actor, now, version=row.version, detail=reason or "")


def set_status(
    session: Session, name: str, status: str, reason: str, successor: str | None, actor: Actor, now: datetime
) -> None:
    """Deprecate, archive or quarantine a pack, or make it active again. Quarantine is the admins' alone."""
    pack = packs.find(session, name)
    _check_status(status)
    if "quarantined" in (status, pack.status):
        actor.need_admin()
    else:
        actor.need("publish", pack.key)
        accounts.need_member(session, actor, pack, OWNER)
    pack.status, pack.status_reason = status, reason
    pack.successor = packs.find(session, successor).key if successor else None
    _changed(session, pack, f"pack-{status}", actor, now, detail=reason)


def set_version_status(
    session: Session, name: str, version: str, status: str, reason: str, actor: Actor, now: datetime
) -> None:
    """Quarantine one version, or lift that: it vanishes from the index, and its files cannot be had."""
    actor.need_admin()
    if status not in ("active", "quarantined"):
        raise Refusal("bad-value", "a version is active or quarantined; yank it instead")
    pack = packs.find(session, name)
    row = packs.find_version(session, pack, version)
    row.status, row.status_reason = status, reason
    session.add(row)
    _changed(session, pack, f"version-{status}", actor, now, version=row.version, detail=reason)


def transfer(session: Session, name: str, publisher: str, actor: Actor, now: datetime) -> None:
    """Give a pack to another publisher: an owner of both may, or an admin; old members lose it."""
    pack, target = packs.find(session, name), find_publisher(session, publisher)
    actor.need("publish", pack.key)
    accounts.need_member(session, actor, pack, OWNER)
    if not (actor.admin and "admin" in actor.scopes):
        need_owner(session, target, actor)
    pack.publisher_id = target.id
    _changed(session, pack, "pack-transferred", actor, now, detail=publisher)


def set_member(
    session: Session, publisher: str, account: str, role: str | None, actor: Actor, now: datetime
) -> None:
    """Give an account a role at a publisher, or (None) none. A publisher always keeps an owner."""
    target = find_publisher(session, publisher)
    need_owner(session, target, actor)
    if role is not None and role not in accounts.ROLES:
        raise Refusal("bad-value", f"role {role!r} is not one of {', '.join(accounts.ROLES)}")
    holder = accounts.ensure_account(session, account, now)
    row = session.get(Member, (target.id, holder.id))
    if role is None:
        if row is None:
            raise Refusal("no-such-member", f"{account} is no member of {publisher}")
        session.delete(row)
    else:
        row = row or Member(publisher_id=target.id or 0, account_id=holder.id or 0)
        row.role = role
        session.add(row)
    session.flush()
    if (
        first(session, select(Member.role).where(Member.publisher_id == target.id, Member.role == OWNER))
        is None
    ):
        raise Refusal("bad-value", f"{publisher} would be left without an owner")
    detail = f"{account}: {role or 'removed'}"
    record(session, "member-changed", publisher, now, actor=actor.name, detail=detail, public=False)


def ban(session: Session, publisher: str, status: str, actor: Actor, now: datetime) -> None:
    """Ban a publisher and quarantine its packs, or make it active (its packs stay as they are)."""
    actor.need_admin()
    if status not in ("active", "banned"):
        raise Refusal("bad-value", "a publisher is active or banned")
    target = find_publisher(session, publisher)
    target.status = status
    session.add(target)
    for pack in (
        session.exec(select(Pack).where(Pack.publisher_id == target.id)).all() if status == "banned" else ()
    ):
        set_status(session, pack.key, "quarantined", "its publisher was banned", None, actor, now)
    record(session, f"publisher-{status}", publisher, now, actor=actor.name)


def reserve(session: Session, name: str, reason: str | None, actor: Actor, now: datetime) -> None:
    """Keep a name back (reason), or let it go (None)."""
    actor.need_admin()
    row = session.get(Reserved, names.check(name))
    if reason is None and row is not None:
        session.delete(row)
    elif reason is not None:
        session.merge(Reserved(key=names.key(name), reason=reason))
    record(
        session,
        "name-reserved" if reason is not None else "name-released",
        name,
        now,
        actor=actor.name,
        public=False,
    )


def find_publisher(session: Session, name: str) -> Publisher:
    """The publisher with this name. Raises Refusal."""
    row: Publisher | None = first(session, select(Publisher).where(Publisher.name == name))
    if row is None:
        raise Refusal("no-such-publisher", f"no publisher {name[:100]!r}")
    return row


def need_owner(session: Session, publisher: Publisher, actor: Actor) -> None:
    """Raise Refusal unless the actor owns the publisher, or is an admin."""
    if actor.admin and "admin" in actor.scopes:
        return
    if accounts.role(session, publisher.id, actor.account_id) != OWNER:
        raise Refusal("not-yours", f"{actor.name} is no owner of {publisher.name}")


def _check_status(status: str) -> None:
    if status not in STATUSES:
        raise Refusal("bad-value", f"status {status[:40]!r} is not one of {', '.join(STATUSES)}")


def _changed(
    session: Session,
    pack: Pack,
    kind: str,
    actor: Actor,
    now: datetime,
    version: str | None = None,
    detail: str = "",
) -> None:
    packs.set_latest(session, pack)
    packs.touch(session, pack, now)
    findable.refresh(session, pack)
    record(session, kind, pack.key, now, version=version, actor=actor.name, detail=detail)
