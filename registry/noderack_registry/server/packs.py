"""Packs and versions as the API shows them, and the few ways in which a pack's line changes."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from packaging.version import Version as PythonVersion
from sqlalchemy import func, or_, text
from sqlmodel import Session, col, select

from noderack_registry import names
from noderack_registry import schema as wire
from noderack_registry.server import assets, findings
from noderack_registry.server.database import column, first
from noderack_registry.server.events import stamp
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import (
    File,
    Pack,
    Publisher,
    Verification,
    Version,
    VersionType,
)

MOST_DEPENDENTS = 200


def find(session: Session, name: str) -> Pack:
    """The pack with this name in any spelling. Raises Refusal."""
    pack: Pack | None = first(session, select(Pack).where(Pack.key == names.key(name)))
    if pack is None:
        raise Refusal("no-such-pack", f"no pack {name[:100]!r} in this registry")
    return pack


def find_version(session: Session, pack: Pack, version: str) -> Version:
    """A version of a pack, by any spelling of its number. Raises Refusal."""
    try:
        normal = str(PythonVersion(version))
    except ValueError:
        normal = version
    row: Version | None = first(
        session, select(Version).where(Version.pack_id == pack.id, Version.version == normal)
    )
    if row is None:
        raise Refusal("no-such-version", f"{pack.name} has no version {version[:60]!r}")
    return row


def newest_first(versions: Sequence[Version]) -> list[Version]:
    """Versions in PEP 440 order, the newest first."""
    return sorted(versions, key=lambda version: PythonVersion(version.version), reverse=True)


def versions_of(session: Session, pack: Pack) -> list[Version]:
    """All versions of a pack, newest first."""
    return newest_first(session.exec(select(Version).where(Version.pack_id == pack.id)).all())


def latest_of(versions: Sequence[Version]) -> Version | None:
    """What an installer without a wish would take: the newest that is not yanked, final if there is one."""
    usable = [version for version in newest_first(versions) if is_usable(version)]
    final = [version for version in usable if not PythonVersion(version.version).is_prerelease]
    return next(iter(final or usable), None)


def is_usable(version: Version) -> bool:
    """True unless yanked or quarantined."""
    return not version.yanked and version.status != "quarantined"


def set_latest(session: Session, pack: Pack) -> None:
    """Work out anew which version is the pack's latest."""
    session.flush()
    latest = latest_of(session.exec(select(Version).where(Version.pack_id == pack.id)).all())
    pack.latest = latest.version if latest else None


def touch(session: Session, pack: Pack, now: datetime) -> None:
    """What the pack's pages show has changed: caches of it are old from here on."""
    pack.revision += 1
    pack.updated = stamp(now)
    session.add(pack)
    session.flush()


def publisher_name(session: Session, pack: Pack) -> str | None:
    """The name of the pack's publisher; None for packs that only a catalogue knows."""
    if pack.publisher_id is None:
        return None
    return next(iter(column(session, _PUBLISHER, publisher=pack.publisher_id)), None)


def summary_fields(pack: Pack, publisher: str | None, base: str = "") -> dict[str, Any]:
    """The fields of a PackSummary."""
    return {
        "name": pack.key,
        "title": pack.title or pack.name,
        "description": pack.description,
        "latest": pack.latest,
        "publisher": publisher,
        "repository": pack.repository,
        "licence": pack.licence,
        "author": pack.author,
        "tags": tuple(json.loads(pack.tags)),
        "downloads": pack.downloads,
        "stars": pack.stars,
        "status": pack.status,
        "status_reason": pack.status_reason,
        "successor": pack.successor,
        "icon": base + pack.icon if pack.icon and pack.icon.startswith(assets.PATH) else pack.icon,
        "created": pack.created,
        "updated": pack.updated,
        "library": pack.library,
        "origin": pack.origin,
    }


def page(session: Session, pack: Pack, base: str = "") -> wire.Pack:
    """The pack's page; `base` is the registry's own address, which pictures and workflows have in theirs."""
    numbers = _numbers(session, pack)
    shown = _shown_version(session, pack, numbers)
    facts = json.loads(shown.facts) if shown else {}
    show = assets.of_version(session, shown.id, base) if shown else ()
    return wire.Pack(
        **summary_fields(pack, publisher_name(session, pack), base),
        versions=tuple(numbers),
        yanked=tuple(number for number, (_, yanked) in numbers.items() if yanked),
        readme_html=_at_base(shown.readme_html, base) if shown else "",
        changelog=_text(facts.get("changelog")),
        node_types=_types_of(session, pack, shown),
        dependencies=tuple(facts.get("dependencies", ())),
        dependents=_dependents(session, pack),
        capabilities=tuple(facts.get("capabilities", ())),
        screenshots=tuple(one.url for one in show if one.kind == "screenshot"),
        workflows=tuple(one.url for one in show if one.kind == "workflow"),
        urls=facts.get("urls", {}),
        requires_python=shown.requires_python if shown else None,
    )


_NUMBERS = text("SELECT version, id, yanked FROM version WHERE pack_id = :pack")
_TYPES = text("SELECT type FROM version_type WHERE version_id = :version")
_DEPENDENTS = text(
    "SELECT p.key FROM dependency d JOIN pack p ON p.id = d.pack_id WHERE d.target = :target "
    f"ORDER BY p.key LIMIT {MOST_DEPENDENTS}"
)
_PUBLISHER = text("SELECT name FROM publisher WHERE id = :publisher")


def _numbers(session: Session, pack: Pack) -> dict[str, tuple[int, bool]]:
    """The numbers of all versions, newest first, each with its row and whether it is yanked."""
    rows = session.connection().execute(_NUMBERS, {"pack": pack.id}).all()
    ordered = sorted(rows, key=lambda row: PythonVersion(row[0]), reverse=True)
    return {number: (row, bool(yanked)) for number, row, yanked in ordered}


def _shown_version(session: Session, pack: Pack, numbers: dict[str, tuple[int, bool]]) -> Version | None:
    """The version that a pack's page is about: the latest, or the newest of those that nobody should take."""
    if not numbers:
        return None
    number = pack.latest if pack.latest in numbers else next(iter(numbers))
    return session.get_one(Version, numbers[number][0])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _at_base(readme: str, base: str) -> str:
    """A README whose own pictures are found from anywhere."""
    return readme.replace(f'src="{assets.PATH}/', f'src="{base}{assets.PATH}/') if base else readme


def _types_of(session: Session, pack: Pack, version: Version | None) -> tuple[str, ...]:
    from noderack_registry.server.claims import claimed_types

    if version is None:
        return claimed_types(session, pack)
    return tuple(sorted(column(session, _TYPES, version=version.id)))


def _dependents(session: Session, pack: Pack) -> tuple[str, ...]:
    return column(session, _DEPENDENTS, target=pack.key)


def version_page(
    session: Session, pack: Pack, version: Version, base: str, schemas: bool = True
) -> wire.PackVersion:
    """One version: everything, or (`schemas` false) without what is found and shown in it and its schemas."""
    rows = session.exec(select(VersionType).where(VersionType.version_id == version.id)).all()
    files = session.exec(select(File).where(File.version_id == version.id).order_by(File.filename)).all()
    plain = _plain_page(pack, version, files, [row.type for row in rows], base)
    if not schemas:
        return plain
    rules, check = findings.of_version(session, version)
    return replace(
        plain,
        node_types={row.type: json.loads(row.entry) for row in rows},
        origins={row.type: row.origin for row in rows},
        check=check,
        checked_by=rules,
        assets=assets.of_version(session, version.id, base),
        verification=verdict(session, version),
    )


def _plain_page(
    pack: Pack, version: Version, files: Sequence[File], types: Sequence[str], base: str
) -> wire.PackVersion:
    facts = json.loads(version.facts)
    return wire.PackVersion(
        pack=pack.key,
        version=version.version,
        requires_python=version.requires_python,
        dependencies=tuple(facts["dependencies"]),
        node_types={type_: {} for type_ in types},
        files=tuple(file_record(file, base) for file in files),
        yanked=version.yanked,
        yanked_reason=version.yanked_reason,
        status=version.status,  # type: ignore[arg-type]
        status_reason=version.status_reason,
        summary=facts["summary"],
        licence=facts["licence"],
        uploaded=version.uploaded,
        library=facts["library"],
        models=tuple(wire.ModelManifest.from_json(item) for item in facts["models"]),
        capabilities=tuple(facts["capabilities"]),
        new_capabilities=tuple(facts.get("new_capabilities", ())),
        declared_capabilities=tuple(facts.get("declared_capabilities", ())),
        findings=tuple(facts.get("findings", ())),
        web=facts["web"],
        commit=facts["commit"],
        changelog=_text(facts.get("changelog")),
    )


def meant(session: Session, wanted: Sequence[str], base: str) -> dict[str, wire.PackVersion]:
    """The versions that NAME (the latest) or NAME==VERSION mean, as far as there are such: one query for all.

    Without schemas, and without what is found and shown in them.
    """
    asked = {said: _name_and_number(said) for said in wanted}
    query = (
        select(Pack, Version, File)
        .join(Version, Version.pack_id == Pack.id)  # type: ignore[arg-type]
        .join(File, File.version_id == Version.id)  # type: ignore[arg-type]
        .where(
            col(Pack.key).in_({name for name, _ in asked.values()}),
            or_(
                col(Version.version) == Pack.latest,
                col(Version.version).in_({number for _, number in asked.values() if number}),
            ),
        )
    )
    found: dict[tuple[str, str | None], tuple[Pack, Version, list[File]]] = {}
    for pack, version, file in session.exec(query.order_by(File.filename)).all():
        found.setdefault((pack.key, version.version), (pack, version, []))[2].append(file)
    latest = {name: pack.latest for (name, _), (pack, _, _) in found.items()}
    places = {said: (name, number or latest.get(name)) for said, (name, number) in asked.items()}
    told = {said: found[place] for said, place in places.items() if place in found}
    types = _types_in(session, {version.id for _, version, _ in told.values()})
    return {
        said: _plain_page(pack, version, files, types.get(version.id, ()), base)
        for said, (pack, version, files) in told.items()
    }


def _types_in(session: Session, versions: Collection[int | None]) -> dict[int | None, list[str]]:
    """The node types of each of the versions: one query for all."""
    query = select(VersionType.version_id, VersionType.type).where(col(VersionType.version_id).in_(versions))
    found: dict[int | None, list[str]] = {}
    for version, type_ in session.exec(query.order_by(VersionType.type)).all():
        found.setdefault(version, []).append(type_)
    return found


def _name_and_number(said: str) -> tuple[str, str]:
    name, _, number = said.partition("==")
    with suppress(ValueError):  # else it is looked for as it was published
        number = str(PythonVersion(number)) if number else ""
    return names.key(name), number


def verdict(session: Session, version: Version) -> wire.Verification | None:
    """What came of importing a version in a jail; None while nobody tried."""
    row = session.get(Verification, version.id)
    if row is None:
        return None
    about = {"status": row.status, "reason": row.reason, "time": row.time, "seconds": row.seconds}
    return wire.Verification.from_json({**json.loads(row.report), **about})


def file_path(file: File) -> str:
    """Where a wheel is served, below the registry's address."""
    return f"/files/{file.sha256}/{file.filename}"


def file_record(file: File, base: str) -> wire.PackFile:
    """A wheel as the API shows it; `base` is the registry's own address."""
    url = base + file_path(file)
    return wire.PackFile(
        file.filename, url, file.sha256, file.size, file.uploaded, metadata_sha256=file.metadata_sha256
    )


def listing(
    session: Session, page_number: int, limit: int, base: str = ""
) -> tuple[int, list[wire.PackSummary]]:
    """How many packs there are, and one page of them by name."""
    total = session.exec(select(func.count()).select_from(Pack)).one()
    query = (
        select(Pack, Publisher.name)
        .join(Publisher, isouter=True)
        .order_by(Pack.key)
        .offset((page_number - 1) * limit)
        .limit(limit)
    )
    rows = session.exec(query).all()
    return total, [wire.PackSummary(**summary_fields(pack, publisher, base)) for pack, publisher in rows]
