"""Storing a catalogue: only what differs from what is there is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, update
from sqlalchemy import select as plain_select
from sqlmodel import Session, col, select

from noderack_registry import names
from noderack_registry.schema import ModelManifest
from noderack_registry.server import findable, search
from noderack_registry.server.catalogue import Catalogue, SeedPack
from noderack_registry.server.events import record, stamp
from noderack_registry.server.repositories import repository_key
from noderack_registry.server.tables import Claim, Model, ModelName, Note, Pack, Pattern

_BATCH = 5000
_MODELS_NOTE = "catalogue-models"


@dataclass(frozen=True, slots=True)
class Seeded:
    """What an import did: packs added and changed, claims added and dropped, models stored."""

    packs_added: int = 0
    packs_changed: int = 0
    claims_added: int = 0
    claims_dropped: int = 0
    models: int = 0


def store(
    session: Session, catalogue: Catalogue, now: datetime, report: Callable[[str], None] = lambda line: None
) -> Seeded:
    """Make the registry say what the catalogue says. Packs that were published here speak for themselves."""
    report(f"{len(catalogue.packs)} packs and {len(catalogue.models)} models read")
    known = {pack.key: pack for pack in session.exec(select(Pack)).all()}
    added, changed = _packs(session, catalogue, known, now)
    report(f"{added} packs added, {len(changed)} changed")
    known = {pack.key: pack for pack in session.exec(select(Pack)).all()}
    touched, gained, lost = _claims(session, catalogue, known, now)
    report(f"{gained} claims added, {lost} dropped")
    seeds = {seed.key for seed in catalogue.packs if known[seed.key].origin == "catalogue"}
    fresh = [known[key] for key in seeds if known[key].created == stamp(now) or key in changed]
    search.put(session, (findable.of_pack(pack) for pack in fresh))
    findable.refresh_types(session, touched)
    models = _models(session, catalogue.models, now)
    if added or changed or gained or lost or models:
        record(session, "catalogue-imported", "catalogue", now, detail=f"{added} packs, {gained} claims")
    return Seeded(added, len(changed), gained, lost, models)


def _fields(seed: SeedPack) -> dict[str, object]:
    return {
        "title": seed.title,
        "description": seed.description,
        "author": seed.author,
        "repository": seed.repository,
        "repository_key": repository_key(seed.repository),
        "stars": seed.stars,
        "tags": json.dumps(list(seed.tags)),
    }


def _packs(
    session: Session, catalogue: Catalogue, known: dict[str, Pack], now: datetime
) -> tuple[int, set[str]]:
    new, changed = [], set()
    for seed in catalogue.packs:
        fields, pack = _fields(seed), known.get(seed.key)
        if pack is None:
            base = {"key": seed.key, "ultra": names.ultra(seed.key), "name": seed.name, "origin": "catalogue"}
            new.append({**base, **fields, "created": stamp(now), "updated": stamp(now)})
            continue
        mine = fields if pack.origin == "catalogue" else {"stars": seed.stars}
        differing = {name: value for name, value in mine.items() if getattr(pack, name) != value}
        if differing:
            values = {**differing, "revision": pack.revision + 1, "updated": stamp(now)}
            session.execute(update(Pack).where(col(Pack.id) == pack.id).values(values))
            changed.add(seed.key)
    for at in range(0, len(new), _BATCH):
        session.execute(insert(Pack), new[at : at + _BATCH])
    session.expire_all()
    return len(new), changed


def _claims(
    session: Session, catalogue: Catalogue, known: dict[str, Pack], now: datetime
) -> tuple[set[str], int, int]:
    """Bring the catalogue's claims up to date; gives the types that are affected, and the counts."""
    packs = [
        (seed, known[seed.key].id or 0) for seed in catalogue.packs if known[seed.key].origin == "catalogue"
    ]
    counts = catalogue.claimants
    wanted = {}
    for seed, pack_id in packs:
        shared = 1000 * sum(counts[name] > 1 for name in seed.types) // max(1, len(seed.types))
        for name in seed.types:
            wanted[name, pack_id] = (name in seed.preferred, shared)
    columns: Any = (Claim.id, Claim.type, Claim.pack_id, Claim.preferred, Claim.shared)
    rows = session.execute(plain_select(*columns).where(col(Claim.origin) == "catalogue"))
    have = {(row[1], row[2]): (row[0], (row[3], row[4])) for row in rows.all()}
    stale = [number for key, (number, said) in have.items() if wanted.get(key) != said]
    for at in range(0, len(stale), 500):
        session.execute(delete(Claim).where(col(Claim.id).in_(stale[at : at + 500])))
    fresh = [key for key, said in wanted.items() if key not in have or have[key][1] != said]
    lines = [_line(key, wanted[key], now) for key in fresh]
    for at in range(0, len(lines), _BATCH):
        session.execute(insert(Claim), lines[at : at + _BATCH])
    _patterns(session, packs)
    dropped = [key for key in have if key not in wanted]
    return {key[0] for key in (*fresh, *dropped)}, sum(key not in have for key in fresh), len(dropped)


def _line(key: tuple[str, int], said: tuple[bool, int], now: datetime) -> dict[str, object]:
    base = {"type": key[0], "pack_id": key[1], "origin": "catalogue", "since": stamp(now)}
    return {**base, "preferred": said[0], "shared": said[1], "newcomer": False, "version": None}


def _patterns(session: Session, packs: list[tuple[SeedPack, int]]) -> None:
    wanted = {(pack_id, seed.pattern) for seed, pack_id in packs if seed.pattern}
    rows = session.exec(select(Pattern)).all()
    for row in rows:
        if (row.pack_id, row.pattern) not in wanted:
            session.delete(row)
    have = {(row.pack_id, row.pattern) for row in rows}
    for pack_id, pattern in sorted(wanted - have, key=str):
        session.add(Pattern(pack_id=pack_id, pattern=str(pattern)))
    session.flush()


def _models(session: Session, models: tuple[ModelManifest, ...], now: datetime) -> int:
    """Replace the catalogue's models by these, if they differ; gives how many were stored."""
    texts = [json.dumps(model.to_json(), separators=(",", ":"), sort_keys=True) for model in models]
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    note = session.get(Note, _MODELS_NOTE)
    if note and note.value == digest:
        return 0
    old = session.exec(select(Model).where(Model.origin == "catalogue")).all()
    search.remove(session, [("model", findable.of_model(row).ref) for row in old])
    for row in old:
        session.execute(delete(ModelName).where(col(ModelName.model_id) == row.id))
        session.delete(row)
    session.flush()
    rows = [
        Model(name=model.name, folder=model.folder, manifest=text, origin="catalogue", updated=stamp(now))
        for model, text in zip(models, texts, strict=True)
    ]
    session.add_all(rows)
    session.flush()
    session.add_all(ModelName(model_id=row.id or 0, name=row.name.lower()) for row in rows)
    search.put(session, (findable.of_model(row) for row in rows))
    session.merge(Note(key=_MODELS_NOTE, value=digest))
    session.flush()
    return len(rows)
