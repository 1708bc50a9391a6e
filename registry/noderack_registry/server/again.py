"""Looking at a published wheel once more, by today's rules: after an upgrade, or because its author asks."""

from __future__ import annotations

import json
from pathlib import Path

from sqlmodel import Session, col, select

from noderack_registry.gate import BadWheel, InspectedWheel, inspect
from noderack_registry.packing.finding import Finding
from noderack_registry.server import assets, claims, examination, findable, findings, packs
from noderack_registry.server.answers import Registry
from noderack_registry.server.examination import Examined
from noderack_registry.server.incoming import waiting_room
from noderack_registry.server.readme import render
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Examination, File, Pack, Version, VersionType


def versions_to_do(session: Session, wish: str | None, stale_only: bool) -> list[tuple[str, str]]:
    """(pack, version) of what `wish` names: PACK, PACK==VERSION, or everything if None. Raises Refusal.

    `stale_only` leaves out those that these very rules have looked at.
    """
    name, _, number = (wish or "").partition("==")
    query = select(Pack.key, Version.version, Version.id).join(Version, Version.pack_id == Pack.id)  # type: ignore[arg-type]
    if name:
        query = query.where(Pack.key == packs.find(session, name).key)
    if number:
        row = packs.find_version(session, packs.find(session, name), number)
        query = query.where(Version.id == row.id)
    rows = session.exec(query.order_by(Pack.key, col(Version.id))).all()
    done = select(Examination.version_id).where(Examination.rules == examination.rules())
    known = set(session.exec(done).all()) if stale_only else set()
    return [(key, version) for key, version, number in rows if number not in known]


def examine_again(registry: Registry, pack: str, version: str) -> tuple[Finding, ...]:
    """Read a version's wheel anew and write down what is found. Raises Refusal."""
    filename, sha256 = registry.database.reading(_file, pack, version)
    with waiting_room(registry.incoming) as path:
        fetch(registry, sha256, path)
        try:
            wheel = inspect(path, filename, registry.settings.wheel)
        except BadWheel as cause:
            raise Refusal(cause.code, f"{filename}: {cause.message}") from cause
        examined = examination.examine(path, wheel)
        assets.keep(registry.blobs, examined.shown, path)
        return registry.database.writing(_store, pack, version, wheel, examined, registry)


def fetch(registry: Registry, sha256: str, path: Path) -> None:
    """Copy a stored file to `path`. Raises Refusal when the store lost it."""
    try:
        with path.open("wb") as file:
            for block in registry.blobs.open(sha256):
                file.write(block)
    except KeyError as cause:
        raise Refusal("no-such-file", f"the file {sha256} is not in the store") from cause


def _file(session: Session, pack: str, version: str) -> tuple[str, str]:
    row = packs.find_version(session, packs.find(session, pack), version)
    file = session.exec(
        select(File).where(File.version_id == row.id).order_by(col(File.filename).desc())
    ).first()
    if file is None:
        raise Refusal("no-such-file", f"{pack} {version} has no file")
    return file.filename, file.sha256


def _store(
    session: Session, name: str, number: str, wheel: InspectedWheel, examined: Examined, registry: Registry
) -> tuple[Finding, ...]:
    pack, now = packs.find(session, name), registry.settings.now()
    version = packs.find_version(session, pack, number)
    types = examination.known_types(wheel, examined)
    found = examined.with_clashes(tuple(types), findings.taken(session, types, pack))
    findings.store(session, version, found, examination.rules(), now)
    assets.store(session, version, examined.shown)
    text = wheel.metadata.description or ""
    kind = wheel.metadata.description_content_type
    version.readme_html = render(text, kind, assets.addresses(examined.shown))
    session.add(version)
    _add_types(session, version, types)
    if not wheel.facts.node_types and types:
        claims.claim(session, pack, version.version, types, origin="syntax", now=now)
    if pack.latest == version.version:
        pack.icon = assets.icon_of(session, version) or pack.icon
    packs.touch(session, pack, now)
    findable.refresh(session, pack)
    return found


def _add_types(session: Session, version: Version, types: examination.Types) -> None:
    """Types that were not known of a version; what was declared or seen by importing stays."""
    query = select(VersionType.type).where(VersionType.version_id == version.id)
    known = set(session.exec(query).all())
    for name in sorted(set(types) - known):
        entry = json.dumps(types[name], separators=(",", ":"), default=str)
        session.add(VersionType(version_id=version.id or 0, type=name, entry=entry, origin="syntax"))
