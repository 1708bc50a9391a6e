"""The kill list: artefacts by sha256 that nobody may install or start, signed against changes on the way.

`signed` is the exact text that was signed; clients verify it and then read it, so there is no question of how
JSON is to be written. `serial` only grows: a client remembers the highest it has seen.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from noderack_registry.revocations import HANDOVER
from noderack_registry.schema import Revocation
from noderack_registry.server import packs
from noderack_registry.server.accounts import Actor
from noderack_registry.server.events import record, stamp
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Event, File, Note, Revoked

_KEY, _HANDOVERS, _FEED = "signing-key", "signing-key-handovers", "revocation-feed"
LIFETIME = timedelta(days=7)


def signing_key(session: Session) -> Ed25519PrivateKey:
    """The registry's key, made when it is first needed (inside a write)."""
    note = session.get(Note, _KEY)
    if note is None:
        key = Ed25519PrivateKey.generate()
        session.add(Note(key=_KEY, value=base64.b64encode(key.private_bytes_raw()).decode()))
        session.flush()
        return key
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(note.value))


def change_key(session: Session, actor: Actor, now: datetime) -> str:
    """Sign with a new key from here on; the old one vouches for it, so who trusts that need do nothing."""
    actor.need_admin()
    old, new = signing_key(session), Ed25519PrivateKey.generate()
    signature = base64.b64encode(old.sign(HANDOVER + _raw(new))).decode()
    made = {"from": _public(old), "to": _public(new), "signature": signature}
    session.merge(Note(key=_HANDOVERS, value=json.dumps([*_handovers(session), made])))
    session.merge(Note(key=_KEY, value=base64.b64encode(new.private_bytes_raw()).decode()))
    _sign_again(session)
    record(session, "signing-key-changed", _public(new), now, actor=actor.name)
    return _public(new)


def _handovers(session: Session) -> list[dict[str, str]]:
    note = session.get(Note, _HANDOVERS)
    found: list[dict[str, str]] = json.loads(note.value) if note else []
    return found


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(_raw(key)).decode()


def kept_feed(session: Session, now: datetime) -> dict[str, Any] | None:
    """The feed as it was signed; None when it is to be signed again: list or key changed, or it ages."""
    note = session.get(Note, _FEED)
    found: dict[str, Any] | None = json.loads(note.value) if note else None
    return found if found and found["payload"]["expires"] > stamp(now + LIFETIME / 2) else None


def _sign_again(session: Session) -> None:
    session.execute(delete(Note).where(col(Note.key) == _FEED))


def feed(session: Session, now: datetime) -> dict[str, Any]:
    """The signed feed: `signed` (text), `signature` and `key` (base64), `payload` (the text, parsed).

    `handovers` says how the key came after those before it (see `noderack_registry.revocations`). It is kept.
    """
    kept = kept_feed(session, now)
    if kept is None:
        kept = _signed(session, now)
        session.merge(Note(key=_FEED, value=json.dumps(kept)))
    return kept


def _signed(session: Session, now: datetime) -> dict[str, Any]:
    rows = session.exec(select(Revoked).order_by(col(Revoked.time), col(Revoked.sha256))).all()
    serial = session.exec(select(func.max(Event.serial)).where(col(Event.kind) == "revoked")).one() or 0
    items = [Revocation(row.sha256, row.name, row.version, row.reason, row.time).to_json() for row in rows]
    payload = {"serial": serial, "expires": stamp(now + LIFETIME), "revocations": items}
    signed = json.dumps(payload, separators=(",", ":"), sort_keys=True)
    key = signing_key(session)
    return {
        "signed": signed,
        "signature": base64.b64encode(key.sign(signed.encode())).decode(),
        "key": _public(key),
        "handovers": _handovers(session),
        "payload": payload,
    }


def revoke(session: Session, sha256: str, name: str, reason: str, actor: Actor, now: datetime) -> None:
    """Kill an artefact by its hash; if it is a wheel published here its version is quarantined as well."""
    actor.need_admin()
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise Refusal("bad-value", "sha256 must be 64 lower-case hexadecimal digits")
    version = _quarantine(session, sha256, reason, actor, now)
    session.merge(Revoked(sha256=sha256, name=name, version=version, reason=reason, time=stamp(now)))
    _sign_again(session)
    record(session, "revoked", name, now, version=version, actor=actor.name, detail=sha256)


def _quarantine(session: Session, sha256: str, reason: str, actor: Actor, now: datetime) -> str | None:
    from noderack_registry.server.lifecycle import set_version_status
    from noderack_registry.server.tables import Pack, Version

    row = session.exec(
        select(Pack.key, Version.version)
        .join(Version, Version.pack_id == Pack.id)  # type: ignore[arg-type]
        .join(File, File.version_id == Version.id)  # type: ignore[arg-type]
        .where(File.sha256 == sha256)
    ).first()
    if row is None:
        return None
    set_version_status(session, row[0], row[1], "quarantined", reason, actor, now)
    return str(row[1])


def hashes_of(session: Session, name: str, version: str) -> list[str]:
    """The sha256 of every file of a version."""
    pack = packs.find(session, name)
    row = packs.find_version(session, pack, version)
    return list(session.exec(select(File.sha256).where(File.version_id == row.id)).all())
