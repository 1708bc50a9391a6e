"""Accounts and publishers as their admins see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from noderack_registry import names
from noderack_registry.server.accounts import Actor, ensure_account
from noderack_registry.server.database import first
from noderack_registry.server.events import record
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Account, Member, Pack, Publisher


def find(session: Session, name: str) -> Account:
    """The account with this name. Raises Refusal."""
    account: Account | None = first(session, select(Account).where(Account.name == name))
    if account is None:
        raise Refusal("no-such-account", f"no account {name[:100]!r}")
    return account


def accounts(session: Session) -> list[dict[str, Any]]:
    """All accounts by name, each with its roles."""
    roles: dict[int, dict[str, str]] = {}
    query = select(Member.account_id, Publisher.name, Member.role).join(Publisher)
    for number, publisher, role in session.exec(query.order_by(Publisher.name)).all():
        roles.setdefault(number, {})[publisher] = role
    rows = session.exec(select(Account).order_by(Account.name)).all()
    return [
        {"name": row.name, "admin": row.admin, "created": row.created, "roles": roles.get(row.id or 0, {})}
        for row in rows
    ]


def set_admin(session: Session, name: str, admin: bool, actor: Actor, now: datetime) -> None:
    """Make an account an admin, or take that away; makes the account if need be. Raises Refusal."""
    actor.need_admin()
    if name == actor.name and not admin:
        raise Refusal("bad-value", "nobody takes this from themselves: ask another admin")
    account = ensure_account(session, names.check(name), now)
    account.admin = admin
    session.add(account)
    record(
        session,
        "admin-made" if admin else "admin-no-more",
        account.name,
        now,
        actor=actor.name,
        public=False,
    )


def publishers(session: Session) -> list[dict[str, Any]]:
    """All publishers by name, with the number of their packs."""
    query = (
        select(Publisher, func.count(col(Pack.id)))
        .join(Pack, Pack.publisher_id == Publisher.id, isouter=True)  # type: ignore[arg-type]
        .group_by(col(Publisher.id))
        .order_by(Publisher.name)
    )
    return [
        {"name": row.name, "title": row.title, "status": row.status, "created": row.created, "packs": count}
        for row, count in session.exec(query).all()
    ]


def describe(
    session: Session, name: str, title: str, description: str, website: str, actor: Actor, now: datetime
) -> None:
    """Change what a publisher says of itself. For admins; owners have the API."""
    actor.need_admin()
    row: Publisher | None = first(session, select(Publisher).where(Publisher.name == name))
    if row is None:
        raise Refusal("no-such-publisher", f"no publisher {name[:100]!r}")
    row.title, row.description = title or row.title, description or row.description
    row.website = website or row.website
    session.add(row)
    record(session, "publisher-described", name, now, actor=actor.name, public=False)
