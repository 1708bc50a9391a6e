"""Publishing: the blob first, then one transaction for everything that makes the version visible."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.version import Version as PythonVersion
from sqlalchemy import delete
from sqlmodel import Session, select

from noderack_registry import names
from noderack_registry.gate import BadWheel, InspectedWheel, inspect
from noderack_registry.server import (
    accounts,
    assets,
    claims,
    examination,
    findable,
    findings,
    manifests,
    naming,
    packs,
    tickets,
    turns,
)
from noderack_registry.server.accounts import Actor
from noderack_registry.server.blobs import BlobStore, disk_errors
from noderack_registry.server.database import Database, first
from noderack_registry.server.events import record, stamp
from noderack_registry.server.examination import Examined
from noderack_registry.server.readme import render
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.repositories import repository_key
from noderack_registry.server.settings import Settings
from noderack_registry.server.tables import (
    Dependency,
    File,
    Pack,
    Revoked,
    Version,
    VersionType,
)
from noderack_registry.server.tickets import Ticket

STILL_FRESH = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Upload:
    """A wheel as it arrived: the file with its bytes (ours to move), its claimed name, what it hashed to.

    `built_here`: the registry made it of a source, so its node types are nobody's word but syntax's.
    """

    file: Path
    filename: str
    sha256: str
    publisher: str | None = None
    changelog: str = ""
    commit: str | None = None
    built_here: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """What became of an upload. `created` is false when the very same file was there already."""

    pack: str
    version: str
    filename: str
    sha256: str
    created: bool


class Publisher:
    """Takes uploads in, one commit at a time."""

    def __init__(self, settings: Settings, database: Database, blobs: BlobStore) -> None:
        self._settings, self._database, self._blobs = settings, database, blobs
        self._committing = threading.Lock()

    def publish(self, upload: Upload, actor: Actor) -> Published:
        """Check the wheel, keep its bytes, make it visible. Raises Refusal; then nothing is left behind."""
        stored = self._database.reading(_stored, upload)
        if stored:
            return stored
        wheel = self._inspected(upload)
        self._database.reading(may_publish, wheel, upload, actor, self._settings.now())
        examined = examination.examine(upload.file, wheel)
        wheel = _with_types(wheel, examined, upload)
        with self._committing:
            try:
                with turns.publishing(self._database):
                    self._keep(upload, wheel, examined)
                    now = self._settings.now()
                    return self._database.writing(show, wheel, examined, upload, actor, now)
            except BaseException as cause:  # even Ctrl-C must not leave bytes that nothing shows
                with turns.clearing(self._database):
                    self._forget_unused(upload.sha256, examined)
                stored = self._beaten(upload, cause)
                if stored is None:
                    raise
                return stored

    def publish_archive(self, archive: Path, ticket: Ticket, actor: Actor) -> Published:
        """Make a wheel of an announced archive, without running it, and publish that. Raises Refusal."""
        with TemporaryDirectory(dir=archive.parent) as work:
            wheel = tickets.build(archive, ticket, Path(work))
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            upload = Upload(wheel, wheel.name, digest, ticket.publisher, ticket.changelog, built_here=True)
            return self.publish(upload, actor)

    def _beaten(self, upload: Upload, cause: BaseException) -> Published | None:
        """If another process published the same name meanwhile: its answer, or the refusal that fits."""
        if isinstance(cause, Refusal) and cause.code == "already-there":
            return self._database.reading(_stored, upload)
        return None

    def _inspected(self, upload: Upload) -> InspectedWheel:
        try:
            return inspect(upload.file, upload.filename, self._settings.wheel)
        except BadWheel as cause:
            raise Refusal(cause.code, cause.message) from cause

    def _keep(self, upload: Upload, wheel: InspectedWheel, examined: Examined) -> None:
        beside = upload.file.with_name(f"{upload.file.name}.{secrets.token_hex(4)}.metadata")
        try:
            with disk_errors():
                beside.write_bytes(wheel.metadata_bytes)
            assets.keep(self._blobs, examined.shown, upload.file)
            self._blobs.put(f"{upload.sha256}.metadata", beside)
            self._blobs.put(upload.sha256, upload.file)
        finally:
            beside.unlink(missing_ok=True)

    def _forget_unused(self, sha256: str, examined: Examined) -> None:
        """Remove the bytes of an upload that did not become visible, unless others show the same bytes."""
        for key in self._database.reading(assets.forget_unused, examined.shown):
            self._blobs.delete(key)
        if not self._database.reading(is_shown, sha256):
            self._blobs.delete(sha256)
            self._blobs.delete(f"{sha256}.metadata")


def _with_types(wheel: InspectedWheel, examined: Examined, upload: Upload) -> InspectedWheel:
    """The wheel with the node types that are known of it, and how they are."""
    by_syntax = upload.built_here or not wheel.facts.node_types
    types = examination.known_types(wheel, examined)
    origin = "syntax" if by_syntax else wheel.facts.origin
    return replace(wheel, facts=replace(wheel.facts, node_types=types, origin=origin))


def is_shown(session: Session, sha256: str) -> bool:
    """True if a published file has these bytes."""
    return first(session, select(File.id).where(File.sha256 == sha256)) is not None


def _stored(session: Session, upload: Upload) -> Published | None:
    """The answer when this file name is taken: fine if the bytes are the same, refused if not."""
    row = session.exec(
        select(File, Version.version, Pack.key)
        .join(Version, Version.id == File.version_id)  # type: ignore[arg-type]
        .join(Pack, Pack.id == Version.pack_id)  # type: ignore[arg-type]
        .where(File.filename == upload.filename)
    ).first()
    if row is None:
        return None
    file, version, pack = row
    if file.sha256 != upload.sha256:
        raise Refusal("version-exists", f"{file.filename} is published already, with sha256 {file.sha256}")
    return Published(pack, version, file.filename, file.sha256, created=False)


def may_publish(
    session: Session, wheel: InspectedWheel, upload: Upload, actor: Actor, now: datetime
) -> Pack | None:
    """The pack if it exists, None if the name is free. Raises Refusal unless the actor may publish this."""
    actor.need("publish", wheel.name)
    if session.get(Revoked, upload.sha256):
        raise Refusal("revoked-content", f"{upload.filename} has bytes that were revoked")
    pack: Pack | None = first(session, select(Pack).where(Pack.key == names.key(wheel.name)))
    if pack is None:
        naming.check(session, wheel.name, actor)
        return None
    if pack.origin == "catalogue" and pack.publisher_id is None:
        _check_catalogue_name(pack, wheel, actor)
    else:
        accounts.need_member(session, actor, pack)
    if pack.status == "quarantined":
        raise Refusal("quarantined", f"{pack.name} is quarantined: {pack.status_reason}")
    if pack.status == "archived":
        raise Refusal(
            "archived", f"{pack.name} is archived: {pack.status_reason or 'it takes no new versions'}"
        )
    version = _version(session, pack, wheel.version)
    if version and not _completes(session, version, wheel, now):
        raise Refusal("version-exists", f"{pack.name} {wheel.version} is published already")
    return pack


def _version(session: Session, pack: Pack, version: str) -> Version | None:
    query = select(Version).where(Version.pack_id == pack.id, Version.version == version)
    found: Version | None = first(session, query)
    return found


def _completes(session: Session, version: Version, wheel: InspectedWheel, now: datetime) -> bool:
    """True for a further platform's wheel of a fresh version that says exactly the same of itself.

    Everything else is sealed by the first upload: nobody can add bytes to an old version.
    """
    if wheel.filename.endswith("-any.whl") or version.uploaded < stamp(now - STILL_FRESH):
        return False
    mine = hashlib.sha256(wheel.metadata_bytes).hexdigest()
    files = session.exec(select(File).where(File.version_id == version.id)).all()
    return all(file.metadata_sha256 == mine and "-any.whl" not in file.filename for file in files)


def _check_catalogue_name(pack: Pack, wheel: InspectedWheel, actor: Actor) -> None:
    """A name that the field knows already goes to whoever publishes from the same repository."""
    if actor.admin and "admin" in actor.scopes:
        return
    if repository_key(_repository(wheel)) != pack.repository_key:
        raise Refusal(
            "catalogue-name", f"{pack.name!r} is known as the pack of {pack.repository}, not of this wheel"
        )


def show(
    session: Session,
    wheel: InspectedWheel,
    examined: Examined,
    upload: Upload,
    actor: Actor,
    now: datetime,
) -> Published:
    """Make the version visible: the one transaction. The bytes are in the store already."""
    stored = _stored(session, upload)
    if stored:
        return stored
    pack = may_publish(session, wheel, upload, actor, now) or _new_pack(session, wheel, actor, now)
    if pack.publisher_id is None:
        pack.publisher_id = _publisher(session, upload, actor, now)
    version = _version(session, pack, wheel.version)
    if version is None:
        version = _new_version(session, pack, wheel, examined, upload, actor, now)
        _note_examined(session, pack, version, wheel, examined, now)
    session.add(_file(version, wheel, upload, now))
    session.flush()
    _refresh_pack(session, pack, version, wheel, now)
    record(session, "version-published", pack.key, now, version=wheel.version, actor=actor.name)
    return Published(pack.key, wheel.version, upload.filename, upload.sha256, created=True)


def _note_examined(
    session: Session, pack: Pack, version: Version, wheel: InspectedWheel, examined: Examined, now: datetime
) -> None:
    """Keep what was found in the wheel besides what it says."""
    names = tuple(wheel.facts.node_types)
    found = examined.with_clashes(names, findings.taken(session, names, pack))
    findings.store(session, version, found, examination.rules(), now)
    assets.store(session, version, examined.shown)


def _new_version(
    session: Session,
    pack: Pack,
    wheel: InspectedWheel,
    examined: Examined,
    upload: Upload,
    actor: Actor,
    now: datetime,
) -> Version:
    facts = facts_of(wheel)
    facts["commit"] = facts["commit"] or upload.commit
    facts["changelog"] = upload.changelog or facts.get("changelog", "")
    facts["new_capabilities"] = _new_capabilities(session, pack, wheel)
    version = Version(
        pack_id=pack.id or 0,
        version=wheel.version,
        requires_python=str(wheel.metadata.requires_python or "") or None,
        facts=json.dumps(facts, separators=(",", ":")),
        readme_html=render(
            wheel.metadata.description or "",
            wheel.metadata.description_content_type,
            assets.addresses(examined.shown),
        ),
        uploaded=stamp(now),
        uploaded_by=actor.account_id,
    )
    session.add(version)
    session.flush()
    for name, entry in wheel.facts.node_types.items():
        text = json.dumps(entry, separators=(",", ":"), default=str)
        session.add(VersionType(version_id=version.id or 0, type=name, entry=text, origin=wheel.facts.origin))
    for manifest in wheel.facts.models:
        manifests.learn(session, manifest, now)
    return version


def _file(version: Version, wheel: InspectedWheel, upload: Upload, now: datetime) -> File:
    return File(
        version_id=version.id or 0,
        filename=upload.filename,
        sha256=upload.sha256,
        size=wheel.size,
        metadata_sha256=hashlib.sha256(wheel.metadata_bytes).hexdigest(),
        uploaded=stamp(now),
    )


def _publisher(session: Session, upload: Upload, actor: Actor, now: datetime) -> int:
    """The first publish claims the name for the publisher that the upload names, or the account's own."""
    publisher = accounts.ensure_publisher(session, upload.publisher or actor.name, actor.account_id, now)
    if accounts.role(session, publisher.id, actor.account_id) is None and not actor.admin:
        raise Refusal("not-yours", f"{actor.name} is no member of publisher {publisher.name!r}")
    if publisher.status != "active":
        raise Refusal("publisher-banned", f"publisher {publisher.name!r} may not publish")
    return publisher.id or 0


def _new_pack(session: Session, wheel: InspectedWheel, actor: Actor, now: datetime) -> Pack:
    pack = Pack(
        key=names.key(wheel.name),
        ultra=names.ultra(wheel.name),
        name=wheel.name,
        created=stamp(now),
        updated=stamp(now),
    )
    session.add(pack)
    session.flush()
    record(session, "pack-created", pack.key, now, actor=actor.name)
    return pack


def facts_of(wheel: InspectedWheel) -> dict[str, Any]:
    """What a version's page says, all of it read from the wheel."""
    metadata = wheel.metadata
    return {
        "summary": metadata.summary or "",
        "licence": _licence(str(metadata.license_expression or metadata.license or "").strip()),
        "author": metadata.author or metadata.author_email or None,
        "tags": sorted({*(metadata.keywords or [])}),
        "urls": dict(metadata.project_urls or {}),
        "dependencies": [str(requirement) for requirement in metadata.requires_dist or []],
        "capabilities": list(wheel.capabilities),
        "declared_capabilities": list(wheel.facts.capabilities),
        "findings": [str(finding) for finding in wheel.findings],
        "web": wheel.facts.web,
        "commit": wheel.facts.commit,
        "library": wheel.facts.library,
        "models": [manifest.to_json() for manifest in wheel.facts.models],
        **{key: wheel.facts.extra[key] for key in ("changelog", "title") if key in wheel.facts.extra},
    }


def _licence(said: str) -> str | None:
    """The SPDX expression in its own spelling, or else the first line of what stands there."""
    try:
        return str(canonicalize_license_expression(said)) if said else None
    except InvalidLicenseExpression:
        return said.splitlines()[0][:200]


def _outside(address: Any) -> str | None:
    """An icon's address at somebody else's, which is passed on and never fetched."""
    return address if isinstance(address, str) and address.startswith("https://") else None


def _repository(wheel: InspectedWheel) -> str | None:
    urls = {label.lower(): url for label, url in (wheel.metadata.project_urls or {}).items()}
    return next(
        (urls[label] for label in ("repository", "source", "source code", "homepage") if label in urls), None
    )


def _new_capabilities(session: Session, pack: Pack, wheel: InspectedWheel) -> list[str]:
    """What this version can do that the newest before it could not; nothing is new in a first version."""
    before = session.exec(select(Version).where(Version.pack_id == pack.id)).all()
    if not before:
        return []
    newest = max(before, key=lambda version: PythonVersion(version.version))
    return sorted({*wheel.capabilities} - {*json.loads(newest.facts).get("capabilities", [])})


def _refresh_pack(
    session: Session, pack: Pack, version: Version, wheel: InspectedWheel, now: datetime
) -> None:
    """Let the pack's own line say what its newest version says, and claim its node types."""
    pack.origin = "declared"
    packs.set_latest(session, pack)
    if pack.latest == wheel.version:
        _take_over_facts(session, pack, wheel)
        pack.icon = assets.icon_of(session, version) or _outside(wheel.facts.extra.get("icon"))
    claims.claim(session, pack, wheel.version, wheel.facts.node_types, origin=wheel.facts.origin, now=now)
    dropped = claims.drop_catalogue(session, pack)
    packs.touch(session, pack, now)
    findable.refresh(session, pack)
    findable.refresh_types(session, dropped)


def _take_over_facts(session: Session, pack: Pack, wheel: InspectedWheel) -> None:
    facts = facts_of(wheel)
    pack.name = wheel.name
    told = wheel.facts.extra.get("title")
    pack.title = told if isinstance(told, str) else pack.title or wheel.name
    pack.description = facts["summary"]
    pack.licence, pack.author = facts["licence"], facts["author"]
    pack.tags = json.dumps(facts["tags"])
    pack.library = wheel.facts.library
    pack.repository = _repository(wheel) or pack.repository
    pack.repository_key = repository_key(pack.repository)
    session.execute(delete(Dependency).where(Dependency.pack_id == pack.id))  # type: ignore[arg-type]
    wanted = {names.key(item.name): str(item) for item in wheel.metadata.requires_dist or []}
    for target, requirement in wanted.items():
        session.add(Dependency(pack_id=pack.id or 0, target=target, requirement=requirement))
