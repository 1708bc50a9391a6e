"""The lists: packs, nodes, models, workflows, publishers, tags, families, categories. Each has its JSON."""

from __future__ import annotations

import string
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, groupby
from typing import Any

from noderack_site.data import Raw
from noderack_site.names import slug
from noderack_site.pages_workflow import card, card_key
from noderack_site.render import (
    Block,
    Page,
    Renderer,
    fingerprint,
    in_blocks,
    json_bytes,
    summaries,
    summary_key,
)
from noderack_site.shelf import Shelf
from noderack_site.text import first_line, safe_url

PACKS_A_PAGE, TYPES_A_PAGE, MODELS_A_PAGE, WORKFLOWS_A_PAGE, GROUP_A_PAGE = 60, 300, 200, 24, 200
_TAGS, _FAMILIES, _BLOCKS = 24, 18, 64


@dataclass(frozen=True, slots=True)
class List:
    """One list over as many pages as it takes. `kind` is what its names are names of."""

    stem: str
    heading: str
    kind: str
    names: Sequence[str]
    a_page: int
    section: str
    lead: str = ""
    crumb: tuple[str, str] | None = None
    links: Sequence[tuple[str, str, int]] = ()
    about: dict[str, Any] = field(default_factory=dict)


def list_blocks(renderer: Renderer) -> Iterator[Block]:
    """Every list; many small ones share a block."""
    shelf = renderer.shelf
    shown = {name: fingerprint(*summary_key(shelf, [name])) for name in shelf.packs}
    for every in (_packs, _nodes, _categories, _models, _workflows):
        for one in every(shelf):
            yield _block(renderer, one.stem, [one], shown)
    lists = {one.stem: one for one in _groups(shelf)}
    for number, stems in in_blocks(lists, _BLOCKS):
        yield _block(renderer, f"groups-{number}", [lists[stem] for stem in stems], shown)


def _block(renderer: Renderer, name: str, lists: Sequence[List], shown: Mapping[str, bytes]) -> Block:
    keys = [_list_key(renderer.shelf, one, shown) for one in lists]
    html = [f"{path}.html" for one in lists for path, _ in _parts(one)]
    made = partial(_pages_of, renderer, lists, shown)
    return Block(f"list-{name}", fingerprint(keys), html, made)


def _pages_of(renderer: Renderer, lists: Sequence[List], shown: Mapping[str, bytes]) -> Iterator[Page]:
    for one in lists:
        yield from _pages(renderer, one, shown)


def _parts(one: List) -> list[tuple[str, Sequence[str]]]:
    """(path without its ending, names) of each of its pages."""
    starts = range(0, len(one.names) or 1, one.a_page)
    stems = (one.stem if number == 1 else f"{one.stem}-{number}" for number in count(1))
    return [(stem, one.names[at : at + one.a_page]) for stem, at in zip(stems, starts, strict=False)]


def _pages(renderer: Renderer, one: List, shown: Mapping[str, bytes]) -> Iterator[Page]:
    parts = _parts(one)
    for number, (path, part) in enumerate(parts, 1):
        key = _key(renderer.shelf, one, part, number, len(parts), shown)
        yield Page(f"{path}.html", key, partial(_html, renderer, one, part, path, number, len(parts)))
        yield Page(f"{path}.json", key, partial(_json, one, part, number, len(parts)))


def _list_key(shelf: Shelf, one: List, shown: Mapping[str, bytes]) -> list[Any]:
    """Everything that any page of the list shows."""
    rows = _rows(shelf, one, one.names, shown)
    return [one.stem, one.heading, one.lead, list(one.names), rows, list(one.links), one.about]


def _key(
    shelf: Shelf, one: List, part: Sequence[str], number: int, last: int, shown: Mapping[str, bytes]
) -> bytes:
    """Everything that a page shows, or something that changes with it."""
    first = (list(one.links), one.about) if number == 1 else ()
    rows = _rows(shelf, one, part, shown)
    return fingerprint(one.heading, one.lead, len(one.names), list(part), rows, first, last)


def _rows(shelf: Shelf, one: List, names: Sequence[str], shown: Mapping[str, bytes]) -> list[Any]:
    """What is said of each name."""
    if one.kind == "packs":
        return [shown[name] for name in names]
    if one.kind == "workflows":
        return [card_key(shelf, name) for name in names]
    if one.kind == "models":
        return [list(_model_row(shelf, name).values()) for name in names]
    return [_type_row(shelf, name) for name in names]


def _json(one: List, part: Sequence[str], number: int, last: int) -> bytes:
    told = {"heading": one.heading, "total": len(one.names), "page": number, "pages": last}
    links = {"links": [[text, page] for text, page, _ in one.links]} if number == 1 and one.links else {}
    return json_bytes({**told, **one.about, **links, one.kind: list(part)})


def _html(renderer: Renderer, one: List, part: Sequence[str], path: str, number: int, last: int) -> bytes:
    shelf = renderer.shelf
    return renderer.page(
        "listing.html",
        f"{path}.html",
        one.heading if number == 1 else f"{one.heading}, page {number}",
        one.lead or f"{one.heading} on {shelf.data.name}.",
        one.section,
        json=f"{path}.json",
        heading=one.heading,
        lead=one.lead,
        crumb=one.crumb,
        total=one.about.get("all") or len(one.names) or len(one.links),
        links=one.links if number == 1 else (),
        website=safe_url(one.about.get("website")),
        packs=summaries(shelf, part) if one.kind == "packs" else (),
        types=[_type_row(shelf, name) for name in part] if one.kind == "types" else (),
        models=_by_folder(shelf, part) if one.kind == "models" else (),
        workflows=[card(shelf, name) for name in part] if one.kind == "workflows" else (),
        number=number,
        last=last,
        stem=one.stem,
    )


def _packs(shelf: Shelf) -> Iterator[List]:
    tags = sorted(shelf.tags, key=lambda tag: (-len(shelf.tags[tag]), tag))[:_TAGS]
    links = [(tag, f"tags/{tag}.html", len(shelf.tags[tag])) for tag in tags]
    links += [("All tags", "tags.html", len(shelf.tags))] if len(shelf.tags) > _TAGS else []
    yield List("packs", "Packs", "packs", shelf.packs, PACKS_A_PAGE, "packs", links=links)
    every = [(tag, f"tags/{tag}.html", len(names)) for tag, names in shelf.tags.items()]
    crumb = ("Packs", "packs.html")
    yield List("tags", "Tags", "tags", [], PACKS_A_PAGE, "packs", crumb=crumb, links=every)


def _nodes(shelf: Shelf) -> Iterator[List]:
    """By initial: an entry page with the letters, and for each letter its pages."""
    letters: dict[str, list[str]] = defaultdict(list)
    for name in shelf.types:
        initial = name[:1].lower()
        letters[initial if initial in string.ascii_lowercase and initial else "other"].append(name)
    links = [
        (key.upper() if key != "other" else "Other", f"nodes-{key}.html", len(letters[key]))
        for key in sorted(letters, key=lambda key: (key == "other", key))
    ]
    lead = "Every node type that a pack claims, by its first letter."
    if shelf.categories:
        lead = "Every node type that a pack claims: by first letter, by category, by what its sockets carry."
        links.append(("Categories", "categories.html", len(shelf.categories)))
        links.append(("Sockets", "sockets.html", len(shelf.socket_pages)))
    known = [name for name in shelf.types if name in shelf.data.schemas][:120] or list(shelf.types[:120])
    about = {"all": len(shelf.types)}
    yield List("nodes", "Node types", "types", known, TYPES_A_PAGE, "nodes", lead, links=links, about=about)
    crumb = ("Nodes", "nodes.html")
    for key, names in sorted(letters.items()):
        ordered = sorted(names, key=lambda name: (name.casefold(), name))
        heading = f"Node types: {key.upper() if key != 'other' else 'other'}"
        yield List(f"nodes-{key}", heading, "types", ordered, TYPES_A_PAGE, "nodes", crumb=crumb)


def _categories(shelf: Shelf) -> Iterator[List]:
    """A page for each first part of the categories that schemas name, and one of them all."""
    by_page: dict[str, list[str]] = defaultdict(list)
    for category, members in shelf.categories.items():
        by_page[slug(category)] += members
    links = sorted((page, f"categories/{page}.html", len(names)) for page, names in by_page.items())
    crumb = ("Nodes", "nodes.html")
    if links:
        yield List("categories", "Categories", "categories", [], 1, "nodes", crumb=crumb, links=links)
    for page, names in sorted(by_page.items()):
        crumb = ("Categories", "categories.html")
        yield List(
            f"categories/{page}", f"Nodes in {page}", "types", names, TYPES_A_PAGE, "nodes", crumb=crumb
        )


def _type_row(shelf: Shelf, name: str) -> tuple[str, str | None, str]:
    """A type, its page, and the title of the pack that it comes from."""
    rows = shelf.data.claims.get(name)
    pack = rows[0]["pack"] if rows else ""
    known = shelf.data.packs.get(pack)
    return name, shelf.type_page(name), str((known and known.get("title")) or pack)


def _models(shelf: Shelf) -> Iterator[List]:
    """All of them, by what they are and then by name; and a page a family."""
    families: dict[str, list[str]] = defaultdict(list)
    for base, names in shelf.families.items():
        families[slug(base)] += names
    heads = {
        page: str(shelf.data.models[names[0]].get("base") or "Other models")
        for page, names in families.items()
    }
    links = [(heads[page], f"families/{page}.html", len(names)) for page, names in families.items()]
    links.sort(key=lambda link: (-link[2], link[0]))
    known = shelf.data.models
    many = Counter(_top_folder(model) for model in known.values())

    def by_folder(name: str) -> tuple[int, str, str]:
        top = _top_folder(known[name])
        return -many[top], top, name

    first = links[:_FAMILIES] + (
        [("All families", "families.html", len(links))] if len(links) > _FAMILIES else []
    )
    yield List(
        "models", "Models", "models", sorted(known, key=by_folder), MODELS_A_PAGE, "models", links=first
    )
    crumb = ("Models", "models.html")
    yield List("families", "Families of models", "families", [], 1, "models", crumb=crumb, links=links)
    for page, members in sorted(families.items()):
        members.sort(key=by_folder)
        yield List(f"families/{page}", heads[page], "models", members, MODELS_A_PAGE, "models", crumb=crumb)


def _top_folder(model: Raw) -> str:
    return str(model.get("folder") or "").replace("\\", "/").split("/")[0]


def _by_folder(shelf: Shelf, names: Sequence[str]) -> list[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """Rows under the folder that they go into; the names come ordered by it."""
    rows = [(name, _model_row(shelf, name)) for name in names]
    return [(top, list(group)) for top, group in groupby(rows, key=lambda row: str(row[1]["top"]))]


def _model_row(shelf: Shelf, name: str) -> dict[str, Any]:
    model = shelf.data.models[name]
    row = {key: model.get(key) for key in ("title", "name", "base", "folder", "size", "gated")}
    top = _top_folder(model)
    return {**row, "top": top, "below": str(model.get("folder") or "")[len(top) + 1 :]}


def _workflows(shelf: Shelf) -> Iterator[List]:
    names = list(shelf.data.workflows)
    lead = "Example workflows of the packs here, each drawn, with what it needs." if names else ""
    yield List("workflows", "Workflows", "workflows", names, WORKFLOWS_A_PAGE, "workflows", lead)


def _groups(shelf: Shelf) -> Iterator[List]:
    crumb = ("Packs", "packs.html")
    for publisher, names in shelf.publishers.items():
        about = dict(shelf.data.publishers.get(publisher, {}))
        heading = str(about.get("title") or shelf.data.packs[names[0]].get("author") or publisher)
        yield List(
            f"publishers/{publisher}",
            heading,
            "packs",
            names,
            GROUP_A_PAGE,
            "packs",
            first_line(about.get("description"), 400),
            crumb,
            about=about,
        )
    crumb = ("Tags", "tags.html")
    for tag, names in shelf.tags.items():
        yield List(f"tags/{tag}", f"Packs about {tag}", "packs", names, GROUP_A_PAGE, "packs", crumb=crumb)
