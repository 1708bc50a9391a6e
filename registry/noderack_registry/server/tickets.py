"""Uploads in two steps: what is to come is announced, then its archive is sent to a ticket's address."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from packaging.version import InvalidVersion, Version
from sqlmodel import Session

from noderack_registry import names
from noderack_registry.server.events import stamp
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Note

LIFETIME = timedelta(minutes=15)
LARGEST_TREE = 1 << 30


@dataclass(frozen=True, slots=True)
class Ticket:
    """What was announced: by whose token, for which publisher, pack and version."""

    account_id: int
    account: str
    admin: bool
    scopes: tuple[str, ...]
    publisher: str
    pack: str
    version: str
    expires: str
    changelog: str = ""


def issue(session: Session, ticket: Ticket) -> str:
    """Keep an announcement; gives the secret part of the address for its archive."""
    secret = secrets.token_urlsafe(32)
    session.add(Note(key=f"ticket:{secret}", value=json.dumps(asdict(ticket))))
    return secret


def expiry(now: datetime) -> str:
    """When a ticket made now ends."""
    return stamp(now + LIFETIME)


def take(session: Session, secret: str, now: datetime) -> Ticket:
    """The announcement behind an address; it can be taken once. Raises Refusal."""
    note = session.get(Note, f"ticket:{secret}")
    if note is None:
        raise Refusal("not-found", "this upload address is not (or no longer) valid")
    session.delete(note)
    told = json.loads(note.value)
    ticket = Ticket(**{**told, "scopes": tuple(told["scopes"])})
    if ticket.expires < stamp(now):
        raise Refusal("not-found", "this upload address has expired")
    return ticket


def normal_version(text: str) -> str:
    """The version in PEP 440's form. Raises Refusal."""
    try:
        return str(Version(text))
    except InvalidVersion as cause:
        raise Refusal("bad-value", f"{text[:60]!r} is not a version") from cause


def build(archive: Path, ticket: Ticket, out: Path) -> Path:
    """The wheel of an uploaded archive, made without running anything in it. Raises Refusal."""
    from noderack_registry.packing import PackError, build_wheel

    with tempfile.TemporaryDirectory(dir=out) as work:
        tree = Path(work) / names.key(ticket.pack)
        _unpack(archive, tree)
        _no_backend(tree / "pyproject.toml")
        try:
            return build_wheel(tree, out, name=ticket.pack, version=ticket.version).path
        except PackError as cause:
            raise Refusal("bad-value", f"no wheel can be made of this archive: {cause.message}") from cause


def _unpack(archive: Path, tree: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as source:
            if sum(entry.file_size for entry in source.infolist()) > LARGEST_TREE:
                raise Refusal("bomb", "the archive unpacks to more than this registry takes")
            for entry in source.infolist():
                _unpack_one(source, entry, tree)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as cause:
        raise Refusal("not-a-zip", f"the archive cannot be read ({cause})") from cause


def _unpack_one(source: zipfile.ZipFile, entry: zipfile.ZipInfo, tree: Path) -> None:
    parts = entry.filename.split("/")
    if entry.is_dir():
        return
    if entry.external_attr >> 16 & 0o170000 == 0o120000:
        raise Refusal("special-file", f"{entry.filename[:100]!r} is a link")
    if any(part in ("", ".", "..") or "\\" in part or ":" in part for part in parts):
        raise Refusal("path-escape", f"{entry.filename[:100]!r} leaves its place")
    target = tree.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open(entry) as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing)


def _no_backend(pyproject: Path) -> None:
    """Leave a pack's own build backend out: the registry runs nobody's code."""
    import tomli_w

    from noderack_registry.packing.metadata import pyproject as read

    if pyproject.exists():
        table = dict(read(pyproject.parent))
        if table.pop("build-system", None) is not None:
            pyproject.write_text(tomli_w.dumps(table), encoding="utf-8")
