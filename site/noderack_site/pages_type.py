"""Node types: a page and a JSON each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from noderack_site.data import Raw
from noderack_site.draw_node import draw_node
from noderack_site.names import slug
from noderack_site.pages_workflow import workflow_titles
from noderack_site.render import Block, Page, Renderer, fingerprint, in_blocks, json_bytes
from noderack_site.shelf import Shelf, top_category
from noderack_site.sockets import fields, input_sockets, output_names, output_types
from noderack_site.text import install_command

_LINKED, _SIBLINGS = 5, 12
_BLOCKS = 256
_TOLD = ("title", "latest", "repository", "built_in", "status")


def type_blocks(renderer: Renderer) -> Iterator[Block]:
    """All files of all node types."""
    shelf = renderer.shelf
    data, used, pages = shelf.data, shelf.used_in, shelf.type_pages
    told = {
        name: fingerprint([pack.get(key) for key in _TOLD], pack.get("node_types"))
        for name, pack in data.packs.items()
    }
    around = _all_neighbours(shelf)
    for number, names in in_blocks(pages, _BLOCKS):
        claims = [data.claims.get(name, ()) for name in names]
        key = fingerprint(
            around,
            names,
            [pages[name] for name in names],
            claims,
            [told.get(str(claim["pack"])) for rows in claims for claim in rows],
            [data.schemas.get(name) for name in names],
            [workflow_titles(shelf, used[name]) for name in names if name in used],
        )
        html = [f"nodes/{pages[name]}.html" for name in names]
        yield Block(f"nodes-{number}", key, html, partial(_pages, renderer, names, told))


def _all_neighbours(shelf: Shelf) -> bytes:
    """Changes whenever the neighbours of any type do: one short list a socket type, not one a node type."""
    made = [(kind, _linked(shelf, names)) for kind, names in shelf.makers.items()]
    taken = [(kind, _linked(shelf, names)) for kind, names in shelf.takers.items()]
    return fingerprint(made, taken, list(shelf.socket_pages))


def _pages(renderer: Renderer, names: list[str], told: Mapping[str, bytes]) -> Iterator[Page]:
    shelf = renderer.shelf
    data, used = shelf.data, shelf.used_in
    for name in names:
        page = shelf.type_pages[name]
        claims, entry = data.claims.get(name, ()), data.schemas.get(name)
        own = fingerprint(name, list(claims), entry)
        packs = [told.get(str(claim["pack"])) for claim in claims]
        key = fingerprint(
            own, packs, _neighbours(shelf, entry) if entry else (), workflow_titles(shelf, used.get(name, ()))
        )
        yield Page(f"nodes/{page}.html", key, partial(_type_html, renderer, name))
        yield Page(f"nodes/{page}.json", own, partial(_type_json, shelf, name))


def _type_json(shelf: Shelf, name: str) -> bytes:
    claims = list(shelf.data.claims.get(name, ()))
    return json_bytes({"type": name, "claims": claims, "schema": shelf.data.schemas.get(name)})


def _told(pack: Raw) -> tuple[object, ...]:
    """What the page of a type says of a pack that claims it; it follows from the fields in `_TOLD`."""
    return pack.get("title") or None, install_command(pack), pack.get("built_in", False), pack.get("status")


def _neighbours(shelf: Shelf, entry: Raw) -> list[Any]:
    kinds = sorted({socket.type for socket in input_sockets(entry)})
    outputs = sorted(set(output_types(entry)))
    return [
        [[kind, _linked(shelf, shelf.makers.get(kind, ()))] for kind in kinds],
        [[kind, _linked(shelf, shelf.takers.get(kind, ()))] for kind in outputs],
        [kind for kind in (*kinds, *outputs) if kind in shelf.socket_pages],
    ]


def _linked(shelf: Shelf, names: tuple[str, ...]) -> list[tuple[str, str | None]]:
    return [(name, shelf.type_page(name)) for name in names[:_LINKED]]


def _type_html(renderer: Renderer, name: str) -> bytes:
    shelf = renderer.shelf
    entry: Raw = shelf.data.schemas.get(name) or {}
    claims = [_claim(shelf, claim) for claim in shelf.data.claims.get(name, ())]
    feeds, eaters, _ = _neighbours(shelf, entry) if entry else ([], [], ())
    where = f" of {claims[0]['title']}" if claims else ""
    return renderer.page(
        "type.html",
        f"nodes/{shelf.type_pages[name]}.html",
        title=str(entry.get("display_name") or name),
        description=str(entry.get("description") or f"The node {name}{where}: sockets, packs and workflows."),
        section="nodes",
        json=f"nodes/{shelf.type_pages[name]}.json",
        name=name,
        display=entry.get("display_name"),
        flags=[flag for flag in ("deprecated", "experimental", "output_node") if entry.get(flag)],
        category=entry.get("category"),
        category_page=slug(top_category(entry)),
        about=entry.get("description"),
        drawing=draw_node(str(entry.get("display_name") or name), entry) if entry else "",
        claims=claims,
        inputs=list(fields(entry)),
        outputs=list(zip(output_names(entry), output_types(entry), strict=True)),
        feeds=dict(feeds),
        eaters=dict(eaters),
        sockets=shelf.socket_pages,
        siblings=_siblings(shelf, name, claims),
        workflows=workflow_titles(shelf, shelf.used_in.get(name, ())),
    )


def _claim(shelf: Shelf, claim: Raw) -> dict[str, Any]:
    name = str(claim["pack"])
    known = name in shelf.data.packs
    pack = shelf.data.packs[name] if known else {"name": name, "latest": claim.get("version")}
    title, install, built_in, status = _told(pack)
    shown = {"title": title or claim.get("title") or name, "install": install, "known": known}
    return {"ambiguous": False, "yanked": False, **claim, **shown, "built_in": built_in, "status": status}


def _siblings(shelf: Shelf, name: str, claims: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """Other types of the pack that this one comes from, from those beside it in the alphabet."""
    pack = shelf.data.packs.get(str(claims[0]["pack"])) if claims else None
    types = sorted({name, *pack.get("node_types", ())}) if pack else [name]
    start = max(0, min(types.index(name) - _SIBLINGS // 2, len(types) - _SIBLINGS - 1))
    near = [other for other in types[start : start + _SIBLINGS + 1] if other != name]
    return [(other, shelf.type_page(other)) for other in near]
