"""The first page, and the page of what changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from noderack_site.changes import Change, changes_of
from noderack_site.data import BUILT_IN, Raw
from noderack_site.hero import draw_hero
from noderack_site.pages_workflow import card, card_key
from noderack_site.render import Page, Renderer, fingerprint, json_bytes, summaries, summary_key
from noderack_site.shelf import Shelf

ROWS, CHANGES, WORKFLOWS, TYPES = 6, 9, 6, 24


def home_pages(renderer: Renderer) -> Iterator[Page]:
    """index.html and changes.html, with their JSON."""
    shelf = renderer.shelf
    changes = changes_of(shelf.data)
    rising, new, used = rising_packs(shelf), new_packs(shelf), most_used(shelf)
    totals = {"packs": len(shelf.packs), "types": len(shelf.types), "models": len(shelf.data.models)}
    workflows = list(shelf.data.workflows)[:WORKFLOWS]
    told = {"totals": totals, "rising": rising, "new": new, "used": used, "workflows": workflows}
    drawn = [card_key(shelf, name) for name in workflows]
    shown = summary_key(shelf, [*rising[1], *new[1]])
    key = fingerprint(told, shown, drawn, changes[:CHANGES], shelf.data.exported)
    yield Page("index.html", key, partial(_home, renderer, told, changes[:CHANGES]))
    yield Page("index.json", key, partial(json_bytes, {**told, "changes": changes[:CHANGES]}))
    yield Page("changes.html", fingerprint(changes), partial(_changes, renderer, changes))
    yield Page("changes.json", fingerprint(changes), partial(json_bytes, list(shelf.data.changes)))


def _home(renderer: Renderer, told: dict[str, Any], changes: Sequence[Change]) -> bytes:
    shelf = renderer.shelf
    return renderer.page(
        "home.html",
        "index.html",
        "Home",
        "Find node packs, node types and models, and install what a workflow needs.",
        "home",
        json="index.json",
        totals=told["totals"],
        lists=[(title, summaries(shelf, names)) for title, names in (told["rising"], told["new"]) if names],
        used=[(name, shelf.type_page(name), count) for name, count in told["used"]],
        used_title=_used_title(shelf, told["used"]),
        hero=draw_hero(),
        exported=shelf.data.exported,  # here alone: it changes with every publish
        workflows=[card(shelf, name) for name in told["workflows"]],
        changes=changes,
    )


def _used_title(shelf: Shelf, used: Sequence[tuple[str, int]]) -> str:
    if used and used[0][1]:
        return "Most used nodes"
    own = {str(claim["pack"]) for name, _ in used for claim in shelf.data.claims.get(name, ())[:1]}
    return "Nodes that every host has" if own == {BUILT_IN} else "Nodes"


def _changes(renderer: Renderer, changes: Sequence[Change]) -> bytes:
    return renderer.page(
        "changes.html",
        "changes.html",
        "What changed",
        "Packs and models as they were published, yanked and retired.",
        json="changes.json",
        changes=changes,
    )


def _day(shelf: Shelf, name: str) -> str:
    return str(shelf.data.packs[name].get("updated") or "")[:10]


def rising_packs(shelf: Shelf) -> tuple[str, list[str]]:
    """Packs whose downloads grew most in the last week; behind them, well starred ones updated lately."""
    growth = {name: _growth(shelf.data.packs[name].get("history") or ()) for name in shelf.packs}
    growing = sorted((name for name in shelf.packs if growth[name]), key=lambda n: (-growth[n], n))
    recent = sorted((_day(shelf, name) for name in shelf.packs), reverse=True)
    since = recent[min(len(recent) - 1, 600)] if recent else ""
    busy = [
        name for name in shelf.packs if _day(shelf, name) >= since and _is_starred(shelf.data.packs[name])
    ]
    title = "Rising" if growing else "Starred and busy"
    return title, list(dict.fromkeys([*growing[:ROWS], *busy[:ROWS]]))[:ROWS]


def _is_starred(pack: Raw) -> bool:
    return bool(pack.get("stars")) and not pack.get("built_in") and pack.get("status") in (None, "active")


def _is_published(pack: Raw) -> bool:
    return bool(pack.get("latest")) and pack.get("status") in (None, "active")


def _growth(history: Sequence[Sequence[Any]]) -> int:
    counts = [int(row[1]) for row in history]
    return max(0, sum(counts[-7:]) - sum(counts[-14:-7])) if len(counts) > 7 else 0


def new_packs(shelf: Shelf) -> tuple[str, list[str]]:
    """The packs that were published here first most recently; where none was, those updated last."""
    own = [name for name in shelf.packs if not shelf.data.packs[name].get("built_in")]
    published = [name for name in own if _is_published(shelf.data.packs[name])]
    if published:
        newest = sorted(published, key=lambda n: (str(shelf.data.packs[n].get("created") or ""), n))
        return "New", newest[::-1][:ROWS]
    return "Updated last", sorted(own, key=lambda n: (_day(shelf, n), n), reverse=True)[:ROWS]


def most_used(shelf: Shelf) -> list[tuple[str, int]]:
    """(node type, workflows that use it), most used first; without workflows, types that every host has."""
    used = [(name, len(where)) for name, where in shelf.used_in.items() if name in shelf.type_pages]
    if used:
        return sorted(used, key=lambda row: (-row[1], row[0]))[:TYPES]
    return [(name, 0) for name in shelf.types[:TYPES] if name in shelf.data.schemas]
