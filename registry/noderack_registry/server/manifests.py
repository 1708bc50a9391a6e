"""Models: one row for one content, found by hash, short hash, file name or alias."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import delete
from sqlmodel import Session, col, select

from noderack_registry.schema import ModelManifest, ModelQuery, Source
from noderack_registry.server import findable, search
from noderack_registry.server.events import record, stamp
from noderack_registry.server.incoming import Arrived
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Blob, Model, ModelName

MOST = 50


def check(manifest: ModelManifest) -> None:
    """Raise Refusal for a name or folder that is no plain one."""
    folder_parts = manifest.folder.split("/")
    for part in [manifest.name, *folder_parts]:
        odd = part in ("", ".", "..") or part != part.strip() or not part.isprintable()
        if odd or any(mark in part for mark in '/\\:*?"<>|') or len(part) > 200:
            raise Refusal("bad-value", f"{part[:60]!r} cannot be the name of a file or folder")
    for source in manifest.sources:
        if source.kind != "registry" and not source.url.startswith("https://"):
            raise Refusal("bad-value", f"{source.url[:120]!r} is not an https address")


def put(session: Session, manifest: ModelManifest, account_id: int, now: datetime) -> ModelManifest:
    """Add a model, or add to what is known of it. The content decides which model it is. Raises Refusal."""
    check(manifest)
    if manifest.sha256 is None or manifest.size is None:
        raise Refusal("bad-value", "a manifest needs sha256 and size")
    known = session.exec(select(Model).where(Model.sha256 == manifest.sha256)).first()
    if known is None:
        return _insert(session, manifest, "declared", account_id, now)
    old = ModelManifest.from_json(json.loads(known.manifest))
    if old.size not in (None, manifest.size):
        raise Refusal("bad-value", f"this content has {old.size} bytes, not {manifest.size}")
    mine = known.account_id in (None, account_id)
    return _update(session, known, merge(old, manifest, newer_wins=mine), now)


def note_blob(session: Session, arrived: Arrived, account_id: int, now: datetime) -> None:
    """Write down that the store keeps this model file."""
    if session.get(Blob, arrived.sha256) is None:
        blob = Blob(sha256=arrived.sha256, size=arrived.size, created=stamp(now), account_id=account_id)
        session.add(blob)
        record(session, "blob-added", arrived.sha256, now, public=False)
        known = session.exec(select(Model).where(Model.sha256 == arrived.sha256)).first()
        if known:  # its page has a source more: mirrors want to know
            record(session, "model-published", arrived.sha256, now)


def learn(session: Session, manifest: ModelManifest, now: datetime) -> None:
    """Take in what a published pack says of a model, if it can be identified and was not known."""
    if manifest.sha256 is None or manifest.size is None:
        return
    check(manifest)
    known = session.exec(select(Model).where(Model.sha256 == manifest.sha256)).first()
    if known is None:
        _insert(session, manifest, "declared", None, now)


def merge(old: ModelManifest, new: ModelManifest, newer_wins: bool) -> ModelManifest:
    """Two manifests of one content as one: the texts of one side, the names and sources of both."""
    main, other = (new, old) if newer_wins else (old, new)
    names = dict.fromkeys([*main.aliases, *other.aliases, other.name])
    names.pop(main.name, None)
    sources = dict.fromkeys(source for source in (*main.sources, *other.sources) if source.kind != "registry")
    return replace(
        main,
        size=main.size if main.size is not None else other.size,
        sources=tuple(sources),
        aliases=tuple(names),
        licence=main.licence or other.licence,
        licence_url=main.licence_url or other.licence_url,
        kind=main.kind or other.kind,
        page=main.page or other.page,
        gated=main.gated if main.gated != "none" else other.gated,
        nsfw=main.nsfw or other.nsfw,
        unsafe_format=main.unsafe_format or other.unsafe_format,
        tags=tuple(dict.fromkeys((*main.tags, *other.tags))),
        base=main.base or other.base,
        title=main.title or other.title,
        description=main.description or other.description,
        trigger_words=main.trigger_words or other.trigger_words,
        used_by=tuple(dict.fromkeys((*main.used_by, *other.used_by))),
    )


def _insert(
    session: Session, manifest: ModelManifest, origin: str, account_id: int | None, now: datetime
) -> ModelManifest:
    row = Model(
        sha256=manifest.sha256,
        autov2=manifest.autov2,
        name=manifest.name,
        folder=manifest.folder,
        manifest="{}",
        origin=origin,
        account_id=account_id,
        updated=stamp(now),
    )
    session.add(row)
    session.flush()
    return _update(session, row, manifest, now)


def _update(session: Session, row: Model, manifest: ModelManifest, now: datetime) -> ModelManifest:
    kept = replace(
        manifest, verified=False, sources=tuple(s for s in manifest.sources if s.kind != "registry")
    )
    if row.manifest != "{}":
        search.remove(session, [("model", findable.of_model(row).ref)])
    row.name, row.folder, row.size = kept.name, kept.folder, kept.size
    row.manifest = json.dumps(kept.to_json(), separators=(",", ":"))
    row.updated = stamp(now)
    session.add(row)
    session.execute(delete(ModelName).where(col(ModelName.model_id) == row.id))
    for name in dict.fromkeys(name.lower() for name in (kept.name, *kept.aliases)):
        session.add(ModelName(model_id=row.id or 0, name=name, alias=name != kept.name.lower()))
    session.flush()
    search.put(session, [findable.of_model(row)])
    return kept


def shown(session: Session, rows: Sequence[Model], base: str) -> tuple[ModelManifest, ...]:
    """Manifests as sent: with the registry itself as first source where it has the file."""
    hashes = [row.sha256 for row in rows if row.sha256]
    kept = (
        set(session.exec(select(Blob.sha256).where(col(Blob.sha256).in_(hashes))).all()) if hashes else set()
    )
    return tuple(_shown(row, base, row.sha256 in kept) for row in rows)


def _shown(row: Model, base: str, here: bool) -> ModelManifest:
    manifest = ModelManifest.from_json(json.loads(row.manifest))
    if not here:
        return manifest
    own = Source("registry", f"{base}/blobs/{row.sha256}/{manifest.name}")
    return replace(manifest, sources=(own, *manifest.sources), verified=True)


def by_sha256(session: Session, sha256: str, base: str) -> tuple[ModelManifest, ...]:
    """The model with this sha256, or with this AutoV2 short hash (ten digits)."""
    column = Model.autov2 if len(sha256) == 10 else Model.sha256
    return shown(session, session.exec(select(Model).where(column == sha256.lower()).limit(MOST)).all(), base)


def by_name(session: Session, name: str, base: str) -> tuple[ModelManifest, ...]:
    """Models known by a file name: those called so before those also called so, sure before unsure."""
    return by_names(session, [name], base)[name]


def by_names(session: Session, names: Iterable[str], base: str) -> dict[str, tuple[ModelManifest, ...]]:
    """`by_name` for many names in one query."""
    wanted = {name: name.replace("\\", "/").rpartition("/")[2].lower() for name in names}
    query = (
        select(ModelName.name, ModelName.alias, Model)
        .join(Model, Model.id == ModelName.model_id)  # type: ignore[arg-type]
        .where(col(ModelName.name).in_(sorted(set(wanted.values()))))
    )
    rows = sorted(session.exec(query).all(), key=lambda row: (row[1], row[2].sha256 is None, row[2].id))
    found: dict[str, list[Model]] = {}
    for name, _, model in rows:
        found.setdefault(name, []).append(model)
    return {name: shown(session, found.get(plain, [])[:MOST], base) for name, plain in wanted.items()}


def resolve(
    session: Session, queries: Iterable[ModelQuery], base: str
) -> dict[str, tuple[ModelManifest, ...]]:
    """Candidates for each model: by hash if given and known, else by name; fitting folder first."""
    asked = list(queries)
    named = by_names(session, [query.name for query in asked], base) if asked else {}
    found = {}
    for query in asked:
        exact = by_sha256(session, query.sha256, base) if query.sha256 else ()
        candidates = exact or named[query.name]
        found[query.name] = tuple(sorted(candidates, key=lambda one: not _fits(one, query.folder)))
    return found


def _fits(manifest: ModelManifest, folder: str | None) -> bool:
    return folder is None or manifest.folder.split("/")[0] == folder.split("/")[0]
