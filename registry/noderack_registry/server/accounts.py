"""Who may do what: accounts, publishers, members, tokens. One function decides each right."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, select

from noderack_registry import tokens
from noderack_registry.names import key
from noderack_registry.server.database import first
from noderack_registry.server.events import record, stamp
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Account, Member, Pack, Publisher, Token

# What a token can be good for. `publish:<pack>` narrows publish to one pack.
SCOPES = ("publish", "models", "admin")
OWNER, MAINTAINER = "owner", "maintainer"
ROLES = (OWNER, MAINTAINER)
LONGEST_DAYS = 365


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever sent a request: the account behind its token, and what that token is good for."""

    account_id: int
    name: str
    admin: bool
    scopes: frozenset[str]

    def need(self, scope: str, pack: str | None = None) -> None:
        """Raise Refusal unless the token covers `scope`, for `pack` if one is named."""
        if scope in self.scopes or "admin" in self.scopes:
            return
        if pack and f"{scope}:{key(pack)}" in self.scopes:
            return
        about = f" for {pack!r}" if pack else ""
        raise Refusal("out-of-scope", f"this token is not good for {scope!r}{about}")

    def need_admin(self) -> None:
        """Raise Refusal unless this is an admin using a token with that scope."""
        self.need("admin")
        if not self.admin:
            raise Refusal("not-yours", f"{self.name} is not an admin of this registry")


def authenticate(session: Session, text: str, now: datetime) -> Actor:
    """The actor behind a token's text. Raises Refusal: bad, expired or revoked."""
    parts = tokens.parse(text)
    token = first(session, select(Token).where(Token.public == parts[0])) if parts else None
    if parts is None or token is None or not tokens.fits(parts[1], token.digest):
        raise Refusal("bad-token", "this token is not one of this registry's")
    if token.revoked:
        raise Refusal("revoked-token", f"this token was revoked at {token.revoked}")
    if token.expires and token.expires <= stamp(now):
        raise Refusal("expired-token", f"this token expired at {token.expires}")
    account = session.get_one(Account, token.account_id)
    return Actor(token.account_id, account.name, account.admin, frozenset(json.loads(token.scopes)))


def ensure_account(session: Session, name: str, now: datetime, admin: bool = False) -> Account:
    """The account called `name`, made if need be. An existing account's rights stay as they are."""
    account = first(session, select(Account).where(Account.name == name))
    if account is None:
        account = Account(name=name, admin=admin, created=stamp(now))
        session.add(account)
        session.flush()
        record(session, "account-created", name, now, public=False)
    return account


def create_token(
    session: Session,
    account: str,
    now: datetime,
    *,
    scopes: tuple[str, ...] = ("publish", "models"),
    label: str = "",
    days: int | None = 90,
    admin: bool = False,
    actor: str = "",
) -> tokens.Minted:
    """A new token for `account` (made if need be), with its text: the only time that it can be seen.

    `days` until it expires, at most 365; None never expires and is meant for a registry on one's own machine.
    """
    for scope in scopes:
        if scope.partition(":")[0] not in SCOPES:
            raise Refusal("bad-value", f"scope {scope!r} is not one of {', '.join(SCOPES)}, publish:<pack>")
    if days is not None and not 0 < days <= LONGEST_DAYS:
        raise Refusal("bad-value", f"a token lives 1 to {LONGEST_DAYS} days, not {days}")
    holder = ensure_account(session, account, now, admin)
    minted = tokens.mint()
    expires = stamp(now + timedelta(days=days)) if days is not None else None
    session.add(
        Token(
            public=minted.public,
            digest=minted.digest,
            account_id=holder.id or 0,
            label=label,
            scopes=json.dumps(sorted(scopes)),
            created=stamp(now),
            expires=expires,
        )
    )
    record(session, "token-created", account, now, actor=actor, detail=minted.public, public=False)
    return minted


def revoke_token(session: Session, public: str, now: datetime, actor: str = "") -> Token:
    """Make a token worthless at once. Raises Refusal when there is none with this public part."""
    token: Token | None = first(session, select(Token).where(Token.public == public))
    if token is None:
        raise Refusal("no-such-token", f"no token {public!r}")
    if token.revoked is None:
        token.revoked = stamp(now)
        session.add(token)
        record(session, "token-revoked", public, now, actor=actor, public=False)
    return token


def ensure_publisher(session: Session, name: str, account_id: int, now: datetime) -> Publisher:
    """The publisher called `name`; when new, the account becomes its owner."""
    publisher = first(session, select(Publisher).where(Publisher.name == name))
    if publisher is None:
        publisher = Publisher(name=name, title=name, created=stamp(now))
        session.add(publisher)
        session.flush()
        session.add(Member(publisher_id=publisher.id or 0, account_id=account_id, role=OWNER))
        record(session, "publisher-created", name, now)
    return publisher


def role(session: Session, publisher_id: int | None, account_id: int) -> str | None:
    """The account's role at a publisher, None when it has none."""
    if publisher_id is None:
        return None
    member = session.get(Member, (publisher_id, account_id))
    return member.role if member else None


def need_member(session: Session, actor: Actor, pack: Pack, least: str = MAINTAINER) -> None:
    """Raise Refusal unless the actor may act for the pack's publisher in that role. Admins may."""
    if actor.admin and "admin" in actor.scopes:
        return
    held = role(session, pack.publisher_id, actor.account_id)
    if held is None or (least == OWNER and held != OWNER):
        raise Refusal("not-yours", f"{pack.name!r} belongs to another publisher; {actor.name} is no {least}")
