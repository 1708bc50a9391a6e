"""Which pack for a node type: how often the type alone leads to it, over workflows that name their packs.

`type_right`, `type_silent_wrong`: of the node types whose pack a workflow names, the name hidden, the share
(percent) that is led to that pack, and to another one without a question; `…_listed` the same for packs that
the catalogue has at all, `type_named_…` with the name not hidden. tests/cases/manager/same-packs.json holds
other names of packs, each with the evidence. The registry has the catalogue, and has learned from the other
workflows as `nodes registry learn` does: never from the one that is asked about, nor from one that has half
of its node types. `type_catalogue_…`: the same without having learned. Without a catalogue all are left out.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from noderack_cli.choose_packs import choose_packs
from noderack_cli.missing import MissingType
from noderack_cli.pack_names import bare, repository
from noderack_cli.plan import Claims
from noderack_registry.server import Settings, open_registry

ROOT = Path(__file__).parents[2]
PAIRS = ROOT / "tests/cases/manager/pairs.json"
SAME = ROOT / "tests/cases/manager/same-packs.json"
CORE = "comfy-core"
CATALOGUE = ROOT.parent / "shared/data/catalogue"
Figures = dict[str, float]
# node type → (registry id, owner/repository) that the workflow names
Workflow = Mapping[str, tuple[str | None, str | None]]


def said(text: str) -> None:
    """A line beside the figures."""
    print(text, file=sys.stderr, flush=True)


def workflows(corpus: Path | None) -> list[Workflow]:
    if corpus is None:
        return [{t: (a, b) for t, (a, b) in flow.items()} for flow in json.loads(PAIRS.read_text("utf-8"))]
    from noderack_host.workflow import WorkflowError, read_workflow

    found = []
    for file in sorted(p for p in corpus.rglob("*") if p.suffix in (".json", ".png", ".webp")):
        try:
            uses = read_workflow(file).node_uses()
        except WorkflowError:
            continue
        found.append({use.type: (use.pack_id, use.aux_id) for use in uses})
    return found


def type_figures(corpus: Path | None, folder: Path) -> Figures:
    from noderack_registry.server import catalogue, seeding
    from noderack_registry.server.claims import claims_for

    if not CATALOGUE.is_dir():
        said("no catalogue beside the repository: type_right and type_silent_wrong are left out")
        return {}
    settings = Settings(data=folder / "seeded")
    registry = open_registry(settings)
    registry.database.writing(seeding.store, catalogue.read(CATALOGUE), settings.now())
    hidden: dict[tuple[str, str], str] = {}
    named: dict[tuple[str, str], str] = {}
    plain: dict[tuple[str, str], str] = {}
    flows = workflows(corpus)
    for flow in flows:
        types = [t for t, (pack, _) in flow.items() if pack != CORE]
        plain |= _outcomes(flow, registry.database.reading(claims_for, types), hide=True)
        claims = registry.database.reading(_claims_by_others, flow, flows, types)
        hidden |= _outcomes(flow, claims, hide=True)
        named |= _outcomes(flow, claims, hide=False)
    listed = {repository(place) for place in registry.database.reading(_repositories)}
    registry.database.close()
    figures = _shares(hidden, named, listed)
    known = list(plain.values())
    return {**figures, "type_catalogue_right": _right(known), "type_catalogue_silent_wrong": _wrong(known)}


def _claims_by_others(session: Any, flow: Workflow, flows: list[Workflow], types: list[str]) -> Any:
    """The claims after learning from all workflows but this one and its likes; nothing of it is kept."""
    from noderack_registry.server import sightings
    from noderack_registry.server.claims import claims_for

    session.connection().exec_driver_sql("BEGIN")
    assert sightings.count(session) == 0
    others = [other for other in flows if not _alike(flow, other)]
    said = [[sightings.named(t, pack, place, None) for t, (pack, place) in one.items()] for one in others]
    sightings.learn(session, [[one for one in each if one] for each in said])
    found = claims_for(session, types)
    session.rollback()
    return found


def _alike(one: Workflow, other: Workflow) -> bool:
    """True for a workflow and its variants: half of the types of either are also in the other."""
    return 2 * len(one.keys() & other.keys()) >= min(len(one), len(other))


def _repositories(session: Any) -> list[str]:
    from noderack_registry.server.tables import Pack
    from sqlmodel import select

    return [place for place in session.exec(select(Pack.repository)).all() if place]


def _outcomes(flow: Workflow, claims: Mapping[str, Any], *, hide: bool) -> dict[tuple[str, str], str]:
    """For each pair of this workflow: right, asked, none, or wrong with the pack that was taken."""
    wanted = [
        MissingType(t) if hide else MissingType(t, pack_id=pack, aux_id=place)
        for t, (pack, place) in flow.items()
        if pack != CORE
    ]
    packs, tosses, _ = choose_packs(wanted, Claims(_as_if_published(claims)), {}, {})
    chosen = {t: pack.pack for pack in packs for t in pack.node_types}
    tossed = {toss.name for toss in tosses}
    found = {}
    for type_, (pack, place) in flow.items():
        if not (pack or place) or pack == CORE:
            continue
        same = {c.pack for c in claims.get(type_, ()) if _is(c, pack, place)}
        outcome = "asked" if type_ in tossed else "none"
        if type_ in chosen:
            outcome = "right" if chosen[type_] in same else f"wrong: {chosen[type_]}"
        found[type_, pack or place or ""] = outcome
    return found


def _as_if_published(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The catalogue's packs have no versions here; give them one, since only the choice counts."""
    return {t: tuple(replace(c, version=c.version or "0") for c in found) for t, found in claims.items()}


def _is(claim: Any, pack: str | None, place: str | None) -> bool:
    """Whether the claim is of the pack that the workflow names, under the name it has in the catalogue."""
    same = _same_packs()
    moved = next((same[name]["repository"] for name in (pack, place) if name in same), None)
    if claim.repository is None:  # known from workflows alone, by the id that they give
        return bool(pack) and bare(pack) == bare(claim.pack)
    return repository(claim.repository or "") in _places(claim, pack, moved or place)


def _places(claim: Any, pack: str | None, place: str | None) -> set[str]:
    """The claim's own repository if its id, or the name of its repository, is the pack's; the one named."""
    mine = repository(claim.repository or "")
    named = pack and bare(pack) in (bare(claim.pack), bare(mine.rpartition("/")[2]))
    return {mine if named else "", repository(place or "")} - {""}


@cache
def _same_packs() -> dict[str, dict[str, str]]:
    """Other names of packs, each with the evidence for it: see the file."""
    found: dict[str, dict[str, str]] = json.loads(SAME.read_text("utf-8"))
    return found


def _shares(
    hidden: Mapping[tuple[str, str], str], named: Mapping[tuple[str, str], str], listed: set[str]
) -> Figures:
    """Over all pairs; packs that the catalogue does not have count against us too, except in `…_listed`."""
    for (type_, pack), outcome in sorted(hidden.items()):
        if outcome != "right":
            said(f"  {outcome}: {type_} (of {pack}); with its name: {named[type_, pack]}")
    known = {key: outcome for key, outcome in hidden.items() if _listed(key[1], listed)}
    halves: tuple[list[str], list[str]] = [], []
    for (type_, pack), outcome in hidden.items():
        halves[hashlib.sha256(f"{type_} {pack}".encode()).digest()[0] % 2].append(outcome)
    every = list(hidden.values())
    said(f"types: {len(every)} pairs, {len(known)} of packs that the catalogue lists")
    said("types, each half: " + ", ".join(f"{_right(half)} % of {len(half)}" for half in halves))
    return {
        "type_right": _right(every),
        "type_silent_wrong": _wrong(every),
        "type_right_listed": _right(list(known.values())),
        "type_silent_wrong_listed": _wrong(list(known.values())),
        "type_named_right": _right(list(named.values())),
        "type_named_silent_wrong": _wrong(list(named.values())),
    }


def _listed(pack: str, listed: set[str]) -> bool:
    place = repository(_same_packs().get(pack, {"repository": pack})["repository"])
    names = {bare(one.rpartition("/")[2]) for one in listed}
    return place in listed or bare(pack.rpartition("/")[2]) in names


def _right(outcomes: list[str]) -> float:
    return round(100 * outcomes.count("right") / (len(outcomes) or 1), 1)


def _wrong(outcomes: list[str]) -> float:
    return round(100 * sum(o.startswith("wrong") for o in outcomes) / (len(outcomes) or 1), 1)
