"""What is said of packs, node types and models in the search index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from sqlalchemy import Connection
from sqlmodel import Session, col, select

from noderack_registry.schema import ModelManifest
from noderack_registry.server import search
from noderack_registry.server.search import Found
from noderack_registry.server.tables import Claim, Model, Pack

_PER_QUERY = 500


def popularity(pack: Pack) -> int:
    """Downloads, and stars as the word of many who never told us."""
    return pack.downloads + 20 * pack.stars


def of_pack(pack: Pack) -> Found:
    """A pack, by its names, description, author and tags."""
    return Found(
        kind="pack",
        ref=pack.key,
        title=pack.title or pack.name,
        description=pack.description,
        texts=(pack.description, pack.author or "", pack.repository_key or "", *json.loads(pack.tags)),
        popularity=popularity(pack),
    )


def of_types(rows: Iterable[tuple[str, Pack]]) -> Iterator[Found]:
    """Node types with the packs that claim them; the most popular pack is shown."""
    claimants: dict[str, list[Pack]] = {}
    for name, pack in rows:
        claimants.setdefault(name, []).append(pack)
    for name, packs in claimants.items():
        best = max(packs, key=popularity)
        yield Found(
            kind="node-type",
            ref=name,
            title=name,
            description=best.title or best.name,
            texts=tuple(pack.title or pack.name for pack in packs),
            pack=best.key,
            popularity=popularity(best),
        )


def of_model(row: Model) -> Found:
    """A model, by file name, title, aliases, base and kind. `pack` carries its sha256 here."""
    manifest = ModelManifest.from_json(json.loads(row.manifest))
    about = (manifest.base or "", manifest.kind or "", manifest.description, *manifest.trigger_words)
    return Found(
        kind="model",
        ref=f"{manifest.name}\n{row.id}",
        title=manifest.title or manifest.name,
        description=manifest.description or f"{manifest.kind or ''} {manifest.base or ''}".strip(),
        names=(manifest.name, *manifest.aliases),
        texts=(*about, *manifest.tags, manifest.folder),
        pack=row.sha256,
    )


def refresh(session: Session, pack: Pack) -> None:
    """Make a pack and its node types findable as they are now."""
    if pack.status == "quarantined":
        search.remove(session, [("pack", pack.key)])
    else:
        search.put(session, [of_pack(pack)])
    types = session.exec(select(Claim.type).where(Claim.pack_id == pack.id)).all()
    refresh_types(session, types)


def refresh_types(session: Session, types: Iterable[str]) -> None:
    """Make node types findable as they are claimed now; those that nobody claims are found no more."""
    wanted = sorted(set(types))
    for at in range(0, len(wanted), _PER_QUERY):
        part = wanted[at : at + _PER_QUERY]
        query = (
            select(Claim.type, Pack)
            .join(Pack, Pack.id == Claim.pack_id)  # type: ignore[arg-type]
            .where(col(Claim.type).in_(part), Pack.status != "quarantined")
        )
        found = list(of_types(session.exec(query).all()))
        gone = set(part) - {thing.ref for thing in found}
        search.remove(session, [("node-type", name) for name in gone])
        search.put(session, found)


def refresh_all(connection: Connection) -> None:
    """Make everything findable that is there: after the search tables were made, or emptied."""
    with Session(connection) as session:
        packs = session.exec(select(Pack).where(Pack.status != "quarantined")).all()
        search.put(session, (of_pack(pack) for pack in packs))
        refresh_types(session, session.exec(select(Claim.type).distinct()).all())
        search.put(session, (of_model(row) for row in session.exec(select(Model)).all()))
        session.flush()
