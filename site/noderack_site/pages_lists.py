"""Home, and the lists: packs, nodes, models, workflows, publishers, tags, families."""

from __future__ import annotations

import string
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from noderack_site.data import Raw
from noderack_site.draw_graph import draw_graph
from noderack_site.hero import HERO
from noderack_site.names import slug
from noderack_site.pages_type import display_names
from noderack_site.render import Page, Renderer, fingerprint, json_bytes, summaries, summary_key
from noderack_site.shelf import Shelf
from noderack_site.text import first_line

PACKS_A_PAGE, TYPES_A_PAGE = 60, 300
_EMPTY: dict[str, Any] = {
    "packs": (),
    "types": (),
    "models": (),
    "workflows": (),
    "links": (),
    "lead": "",
    "crumb": None,
    "total": None,
    "number": 1,
    "last": 1,
    "stem": "",
}


def list_pages(renderer: Renderer) -> Iterator[Page]:
    """Every list."""
    yield _home(renderer)
    yield from _packs(renderer)
    yield from _nodes(renderer)
    yield from _categories(renderer)
    yield from _models(renderer)
    yield from _workflows(renderer)
    yield from _groups(renderer)


def _listing(renderer: Renderer, path: str, heading: str, section: str, key: Any, **more: Any) -> Page:
    lead = more.get("lead") or f"{heading} on {renderer.shelf.data.name}."
    context = {**_EMPTY, **more, "heading": heading}
    depends = fingerprint(heading, key, more.get("lead", ""), more.get("total"), more.get("last", 1))
    render = partial(renderer.page, "listing.html", path, heading, lead, section, **context)
    return Page(path, depends, render)


def _home(renderer: Renderer) -> Page:
    shelf = renderer.shelf
    totals = {"packs": len(shelf.packs), "types": len(shelf.types), "models": len(shelf.data.models)}
    title, rising = rising_packs(shelf)
    own = [name for name in shelf.packs if not shelf.data.packs[name].get("built_in")]
    fresh = sorted(own, key=lambda n: (_day(shelf, n), n), reverse=True)[:6]
    used = _most_used(shelf)
    shown = [shelf.data.workflows[name] for name in list(shelf.data.workflows)[:6]]
    changes = [change for change in shelf.data.changes if change.get("name") in shelf.data.packs][:8]
    key = fingerprint(totals, summary_key(shelf, [*rising, *fresh]), used, shown, changes)

    def render() -> bytes:
        return renderer.page(
            "home.html",
            "index.html",
            "Home",
            "Find node packs, node types and models, and install what a workflow needs.",
            "home",
            totals=totals,
            rising_title=title,
            rising=summaries(shelf, rising),
            fresh=summaries(shelf, fresh),
            used=[(n, shelf.type_page(n), count) for n, count in used],
            used_title="Most used nodes" if used and used[0][1] else "Nodes that every host has",
            hero=draw_graph(HERO, "The usual text-to-image graph"),
            workflows=[_drawn(shelf, workflow) for workflow in shown],
            changes=changes,
        )

    return Page("index.html", key, render)


def _day(shelf: Shelf, name: str) -> str:
    return str(shelf.data.packs[name].get("updated") or "")[:10]


def rising_packs(shelf: Shelf, count: int = 6) -> tuple[str, list[str]]:
    """Packs whose downloads grew most in the last week; without counts, the starred ones updated last."""
    growth = {name: _growth(shelf.data.packs[name].get("history") or ()) for name in shelf.packs}
    if any(growth.values()):
        growing = [name for name in shelf.packs if growth[name]]
        return "Rising", sorted(growing, key=lambda name: (-growth[name], name))[:count]
    recent = sorted((_day(shelf, name) for name in shelf.packs), reverse=True)
    since = recent[min(len(recent) - 1, 600)] if recent else ""
    busy = [
        name for name in shelf.packs if _day(shelf, name) >= since and shelf.data.packs[name].get("stars")
    ]
    return "Most starred of the recently updated", busy[:count]


def _growth(history: Sequence[Sequence[Any]]) -> int:
    counts = [int(row[1]) for row in history]
    return max(0, sum(counts[-7:]) - sum(counts[-14:-7])) if len(counts) > 7 else 0


def _most_used(shelf: Shelf) -> list[tuple[str, int]]:
    used = sorted(
        ((n, len(w)) for n, w in shelf.used_in.items() if n in shelf.type_pages), key=lambda r: (-r[1], r[0])
    )
    if used:
        return used[:24]
    return [(name, 0) for name in shelf.types[:24] if name in shelf.data.schemas]


def _drawn(shelf: Shelf, workflow: Raw) -> dict[str, Any]:
    title = str(workflow.get("title") or workflow["name"])
    drawing = draw_graph(workflow["graph"], title, display_names(shelf, workflow["graph"]))
    return {"title": title, "name": workflow["name"], "drawing": drawing}


def _pages(names: Sequence[str], size: int) -> list[Sequence[str]]:
    return [names[at : at + size] for at in range(0, len(names), size)] or [()]


def _numbered(stem: str, number: int) -> str:
    return f"{stem}.html" if number == 1 else f"{stem}-{number}.html"


def _packs(renderer: Renderer) -> Iterator[Page]:
    shelf = renderer.shelf
    tags = sorted(shelf.tags, key=lambda tag: (-len(shelf.tags[tag]), tag))[:24]
    links = [(tag, f"tags/{tag}.html", len(shelf.tags[tag])) for tag in tags]
    parts = _pages(shelf.packs, PACKS_A_PAGE)
    for number, names in enumerate(parts, 1):
        first = links if number == 1 else ()
        key = [summary_key(shelf, names), first]
        path = _numbered("packs", number)
        yield _listing(
            renderer,
            path,
            "Packs",
            "packs",
            key,
            packs=summaries(shelf, names),
            links=first,
            total=len(shelf.packs),
            number=number,
            last=len(parts),
            stem="packs",
        )


def _nodes(renderer: Renderer) -> Iterator[Page]:
    """By initial: an entry page with the letters, and for each letter its pages."""
    shelf = renderer.shelf
    letters: dict[str, list[str]] = defaultdict(list)
    for name in shelf.types:
        initial = name[:1].lower()
        letters[initial if initial in string.ascii_lowercase and initial else "other"].append(name)
    links = [
        (key.upper() if key != "other" else "Other", f"nodes-{key}.html", len(letters[key]))
        for key in sorted(letters)
    ]
    best = [name for name in shelf.types if name in shelf.data.schemas][:120] or shelf.types[:120]
    links += [(c, f"categories/{slug(c)}.html", len(n)) for c, n in shelf.categories.items()]
    lead = "Every node type that a pack claims, by its first letter or by its category."
    yield _type_list(
        renderer, "nodes.html", "Node types", best, links=links, lead=lead, total=len(shelf.types)
    )
    for key, names in sorted(letters.items()):
        parts = _pages(sorted(names, key=lambda name: (name.casefold(), name)), TYPES_A_PAGE)
        heading = f"Node types: {key.upper() if key != 'other' else 'other'}"
        for number, part in enumerate(parts, 1):
            more = {"total": len(names), "number": number, "last": len(parts), "stem": f"nodes-{key}"}
            crumb = ("Nodes", "nodes.html")
            yield _type_list(renderer, _numbered(f"nodes-{key}", number), heading, part, crumb=crumb, **more)


def _categories(renderer: Renderer) -> Iterator[Page]:
    """A page for each first part of the categories that schemas name."""
    by_page: dict[str, list[str]] = defaultdict(list)
    for category, members in renderer.shelf.categories.items():
        by_page[slug(category)] += members
    for page, names in sorted(by_page.items()):
        path, crumb = f"categories/{page}.html", ("Nodes", "nodes.html")
        yield _type_list(renderer, path, f"Nodes in {page}", names, crumb=crumb, total=len(names))
        yield Page(f"categories/{page}.json", fingerprint(names), partial(json_bytes, names))


def _type_list(renderer: Renderer, path: str, heading: str, names: Sequence[str], **more: Any) -> Page:
    shelf = renderer.shelf
    rows = [(name, shelf.type_page(name), _first_pack(shelf, name)) for name in names]
    return _listing(renderer, path, heading, "nodes", [rows, more.get("links", ())], types=rows, **more)


def _first_pack(shelf: Shelf, name: str) -> str:
    rows = shelf.data.claims.get(name, ())
    return first_line(rows[0]["pack"], 40) if rows else ""


def _models(renderer: Renderer) -> Iterator[Page]:
    shelf = renderer.shelf
    links = [(base, f"families/{slug(base)}.html", len(names)) for base, names in shelf.families.items()]
    links.sort(key=lambda link: (-link[2], link[0]))
    names = sorted(shelf.data.models)
    parts = _pages(names, 200)
    for number, part in enumerate(parts, 1):
        rows = [(name, _model_row(shelf, name)) for name in part]
        first = links if number == 1 else ()
        more = {"number": number, "last": len(parts), "stem": "models", "total": len(names), "links": first}
        path = _numbered("models", number)
        yield _listing(renderer, path, "Models", "models", [rows, first], models=rows, **more)


def _model_row(shelf: Shelf, name: str) -> dict[str, Any]:
    model = shelf.data.models[name]
    return {key: model.get(key) for key in ("title", "name", "base", "folder", "size")}


def _workflows(renderer: Renderer) -> Iterator[Page]:
    shelf = renderer.shelf
    drawn = [_drawn(shelf, workflow) for workflow in shelf.data.workflows.values()]
    lead = "" if drawn else "No pack here has published an example workflow yet."
    key = [list(row.values()) for row in drawn]
    yield _listing(
        renderer,
        "workflows.html",
        "Workflows",
        "workflows",
        key,
        workflows=drawn,
        lead=lead,
        total=len(drawn),
    )


def _groups(renderer: Renderer) -> Iterator[Page]:
    shelf = renderer.shelf
    for publisher, names in shelf.publishers.items():
        heading = str(shelf.data.packs[names[0]].get("author") or publisher)
        yield from _group(renderer, f"publishers/{publisher}", heading, names)
    for tag, names in shelf.tags.items():
        yield from _group(renderer, f"tags/{tag}", f"Packs about {tag}", names)
    families: dict[str, list[str]] = defaultdict(list)
    for base, names in shelf.families.items():
        families[slug(base)] += names
    for family, models in sorted(families.items()):
        rows = [(name, _model_row(shelf, name)) for name in models]
        heading = str(rows[0][1]["base"] or "Other models")
        crumb = ("Models", "models.html")
        path = f"families/{family}.html"
        yield _listing(renderer, path, heading, "models", rows, models=rows, total=len(rows), crumb=crumb)
        yield Page(f"families/{family}.json", fingerprint(models), partial(json_bytes, list(models)))


def _group(renderer: Renderer, stem: str, heading: str, names: Sequence[str]) -> Iterator[Page]:
    shelf = renderer.shelf
    parts = _pages(names, 200)
    for number, part in enumerate(parts, 1):
        yield _listing(
            renderer,
            _numbered(stem, number),
            heading,
            "packs",
            [summary_key(shelf, part), stem],
            packs=summaries(shelf, part),
            total=len(names),
            crumb=("Packs", "packs.html"),
            number=number,
            last=len(parts),
            stem=stem,
        )
    yield Page(f"{stem}.json", fingerprint(list(names)), partial(json_bytes, list(names)))
