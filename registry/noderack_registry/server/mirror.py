"""A read-only mirror: what another registry published, fetched over its API, checked by the same gate.

The changes feed says what to look at; the last serial seen is kept with the data, so a mirror goes on where
it stopped, also after a crash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import httpx
from sqlmodel import Session, select

from noderack_registry.client import RegistryClient
from noderack_registry.errors import NotFound
from noderack_registry.schema import PackFile, PackVersion
from noderack_registry.server import accounts, lifecycle, manifests, packs, revocations, verdicts
from noderack_registry.server.accounts import Actor
from noderack_registry.server.answers import Registry
from noderack_registry.server.database import first
from noderack_registry.server.incoming import Arrived, waiting_room
from noderack_registry.server.publish import Upload
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Note, Pack, Revoked, Verification
from noderack_registry.server.verdicts import Outcome

PAGE = 1000
_PACK_KINDS = ("version-", "pack-")
_VERDICTS = ("version-verified", "version-not-verified")


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What a run did: versions and models fetched, and the serial up to which all is here."""

    versions: int
    models: int
    serial: int


def mirror(
    registry: Registry,
    url: str,
    http: httpx.Client | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Mirrored:
    """Bring this registry up to date with the one at `url`. Raises RegistryError or Refusal."""
    client = RegistryClient(url, http=http)
    note = f"mirror:{url}"
    serial = int(registry.database.reading(_noted, note) or 0)
    actor = registry.database.writing(_actor, registry)
    versions = models = 0
    while changes := client.changes(serial, PAGE):
        packs = dict.fromkeys(item.name for item in changes if item.kind.startswith(_PACK_KINDS))
        for name in packs:
            versions += _pack(registry, client, name, actor, report)
        for verified in dict.fromkeys((i.name, i.version or "") for i in changes if i.kind in _VERDICTS):
            _verdict(registry, client, *verified)
        for sha256 in dict.fromkeys(item.name for item in changes if item.kind == "model-published"):
            models += _model(registry, client, sha256, actor)
        if any(item.kind == "revoked" for item in changes):
            _revocations(registry, client, actor)
        serial = changes[-1].serial
        registry.database.writing(_note, note, str(serial))
    return Mirrored(versions, models, serial)


def _noted(session: Session, key: str) -> str | None:
    note = session.get(Note, key)
    return note.value if note else None


def _note(session: Session, key: str, value: str) -> None:
    session.merge(Note(key=key, value=value))


def _actor(session: Session, registry: Registry) -> Actor:
    account = accounts.ensure_account(session, "mirror", registry.settings.now(), admin=True)
    return Actor(account.id or 0, "mirror", True, frozenset({"admin"}))


def _pack(
    registry: Registry, client: RegistryClient, name: str, actor: Actor, report: Callable[[str], None]
) -> int:
    """Fetch the versions that are not here, oldest first, then take over yanks and statuses."""
    try:
        page, versions = client.pack(name), client.versions(name)
    except NotFound:
        return 0
    fetched = 0
    for version in reversed(versions):
        for file in version.files:
            if version.status != "quarantined" and _fetch(registry, client, file, page.publisher, actor):
                report(f"{name} {version.version}")
                fetched += 1
    for version in versions:
        _follow(registry, version, actor)
    if versions:
        wish = (page.status, page.status_reason)
        registry.database.writing(_set_status, name, *wish, page.successor, actor, registry.settings.now())
    return fetched


def _set_status(
    session: Session, name: str, status: str, reason: str, successor: str | None, actor: Actor, now: datetime
) -> None:
    """Take a pack's status over, if it differs; a successor that is not here yet comes with a later one."""
    pack = packs.find(session, name)
    here = first(session, select(Pack.key).where(Pack.key == successor)) if successor else None
    if (pack.status, pack.status_reason, pack.successor) != (status, reason, here):
        lifecycle.set_status(session, name, status, reason, here, actor, now)


def _fetch(
    registry: Registry, client: RegistryClient, file: PackFile, publisher: str | None, actor: Actor
) -> bool:
    if registry.blobs.size(file.sha256) is not None:
        return False
    with waiting_room(registry.incoming) as path:
        digest = _download(client, f"/files/{file.sha256}/{file.filename}", path)
        if digest != file.sha256:
            raise Refusal("wrong-hash", f"{file.filename} came with sha256 {digest}, not {file.sha256}")
        return registry.publisher.publish(Upload(path, file.filename, digest, publisher), actor).created


def _download(client: RegistryClient, place: str, path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for block in client.stream(place):
            file.write(block)
            digest.update(block)
    return digest.hexdigest()


def _follow(registry: Registry, version: PackVersion, actor: Actor) -> None:
    """Take yanks and quarantines over, and take them back when they are."""
    try:
        registry.database.writing(_take_over, version, actor, registry.settings.now())
    except Refusal as refusal:
        if refusal.status != 404:  # a version that never came here needs no status
            raise


def _take_over(session: Session, version: PackVersion, actor: Actor, now: datetime) -> None:
    name, number = version.pack, version.version
    row = packs.find_version(session, packs.find(session, name), number)
    if (row.yanked, row.yanked_reason) != (version.yanked, version.yanked_reason):
        reason = version.yanked_reason if version.yanked else None
        lifecycle.yank(session, name, number, reason, actor, now)
    if row.status != version.status:
        lifecycle.set_version_status(session, name, number, version.status, version.status_reason, actor, now)


def _verdict(registry: Registry, client: RegistryClient, name: str, number: str) -> None:
    """Take over what came of importing it there: a mirror says what the other says, and imports nothing."""
    try:
        version = client.version(name, number)
        registry.database.writing(_take_verdict, version, registry.settings.now())
    except NotFound:
        return
    except Refusal as refusal:
        if refusal.status != 404:  # a version that never came here
            raise


def _take_verdict(session: Session, version: PackVersion, now: datetime) -> None:
    told = version.verification
    row = packs.find_version(session, packs.find(session, version.pack), version.version)
    if told is None or told.status in ("waiting", "running"):
        return
    mine = session.get(Verification, row.id)
    if mine is not None and (mine.status, mine.reason) == (told.status, told.reason):
        return
    types = {name: version.node_types.get(name, {}) for name in told.types}
    rest = (told.missing, told.failures, dict(told.barriers), told.python)
    outcome = Outcome(told.status, told.reason, told.seconds, types, *rest)
    verdicts.store(session, version.pack, version.version, outcome, now)


def _revocations(registry: Registry, client: RegistryClient, actor: Actor) -> None:
    """Kill here what was killed there; the list here is signed with the key of this registry."""
    for one in client.revocations():
        if not registry.database.reading(_is_revoked, one.sha256):
            wish = (one.sha256, one.name, one.reason)
            registry.database.writing(revocations.revoke, *wish, actor, registry.settings.now())


def _is_revoked(session: Session, sha256: str) -> bool:
    return session.get(Revoked, sha256) is not None


def _model(registry: Registry, client: RegistryClient, sha256: str, actor: Actor) -> int:
    try:
        manifest = client.model(sha256)
    except NotFound:
        return 0
    registry.database.writing(manifests.put, manifest, actor.account_id, registry.settings.now())
    own = next((source for source in manifest.sources if source.kind == "registry"), None)
    if own and registry.blobs.size(sha256) is None:
        _blob(registry, client, sha256, manifest.name, actor)
    return 1


def _blob(registry: Registry, client: RegistryClient, sha256: str, name: str, actor: Actor) -> None:
    """Fetch a model file that the other registry keeps itself."""
    with waiting_room(registry.incoming) as path:
        digest = _download(client, f"/blobs/{sha256}/{quote(name)}", path)
        if digest != sha256:
            raise Refusal("wrong-hash", f"{name} came with sha256 {digest}, not {sha256}")
        arrived = Arrived(path, digest, path.stat().st_size)
        registry.blobs.put(digest, path)
        registry.database.writing(manifests.note_blob, arrived, actor.account_id, registry.settings.now())
