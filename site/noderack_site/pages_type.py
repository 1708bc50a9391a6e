"""Node types, models and workflows: one page and one JSON each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from noderack_site.data import Raw
from noderack_site.draw_graph import draw_graph
from noderack_site.draw_node import draw_node
from noderack_site.graph import node_types_of
from noderack_site.names import slug
from noderack_site.render import Page, Renderer, fingerprint, json_bytes
from noderack_site.shelf import Shelf, top_category
from noderack_site.sockets import fields, input_sockets, output_names, output_types
from noderack_site.text import command, install_command

_LINKED = 5
_GATES = {
    "login": "Downloading it needs an account with its source: set that source's token for your host.",
    "accept": "Its terms must be accepted on its page before it can be downloaded.",
    "early-access": "It is in early access: only some accounts can download it.",
}


def type_pages(renderer: Renderer) -> Iterator[Page]:
    """All files of all node types."""
    shelf = renderer.shelf
    for name in shelf.types:
        page = shelf.type_pages[name]
        claims, entry = shelf.data.claims.get(name, ()), shelf.data.schemas.get(name)
        record = {"type": name, "claims": list(claims), "schema": entry}
        own = fingerprint(record)
        shown = [_claim(shelf, claim) for claim in claims]
        around = _neighbours(shelf, entry) if entry else ()
        key = fingerprint(own, shown, around, shelf.used_in.get(name, ()))
        yield Page(f"nodes/{page}.html", key, lambda record=record: _type_html(renderer, record))  # type: ignore[misc]
        yield Page(f"nodes/{page}.json", own, lambda record=record: json_bytes(record))  # type: ignore[misc]


def _title(shelf: Shelf, claim: Raw) -> str:
    pack = shelf.data.packs.get(str(claim["pack"]), {})
    return str(pack.get("title") or claim.get("title") or claim["pack"])


def _neighbours(shelf: Shelf, entry: Raw) -> list[Any]:
    kinds = sorted({socket.type for socket in input_sockets(entry)})
    outputs = sorted(set(output_types(entry)))
    return [
        [[kind, _linked(shelf, shelf.makers.get(kind, ()))] for kind in kinds],
        [[kind, _linked(shelf, shelf.takers.get(kind, ()))] for kind in outputs],
    ]


def _linked(shelf: Shelf, names: tuple[str, ...]) -> list[tuple[str, str | None]]:
    return [(name, shelf.type_page(name)) for name in names[:_LINKED]]


def _type_html(renderer: Renderer, record: Raw) -> bytes:
    shelf, name, entry = renderer.shelf, str(record["type"]), record["schema"] or {}
    feeds, eaters = _neighbours(shelf, entry) if entry else ([], [])
    first = record["claims"][0] if record["claims"] else None
    where = f" of {_title(shelf, first)}" if first else ""
    return renderer.page(
        "type.html",
        f"nodes/{shelf.type_pages[name]}.html",
        title=str(entry.get("display_name") or name),
        description=str(entry.get("description") or f"The node {name}{where}: sockets, packs and workflows."),
        section="nodes",
        json=f"nodes/{shelf.type_pages[name]}.json",
        name=name,
        display=entry.get("display_name"),
        category=entry.get("category"),
        category_page=slug(top_category(entry)),
        about=entry.get("description"),
        drawing=draw_node(str(entry.get("display_name") or name), entry) if entry else "",
        claims=[_claim(shelf, claim) for claim in record["claims"]],
        inputs=list(fields(entry)),
        outputs=list(zip(output_names(entry), output_types(entry), strict=True)),
        feeds=dict(feeds),
        eaters=dict(eaters),
        workflows=_workflow_titles(shelf, shelf.used_in.get(name, ())),
    )


def _claim(shelf: Shelf, claim: Raw) -> dict[str, Any]:
    name = str(claim["pack"])
    pack = shelf.data.packs.get(name, {"name": name, "latest": claim.get("version")})
    shown = {
        "title": _title(shelf, claim),
        "install": install_command(pack),
        "known": name in shelf.data.packs,
    }
    flags = {"ambiguous": False, "yanked": False, "built_in": bool(pack.get("built_in"))}
    return {**flags, **claim, **shown}


def _workflow_titles(shelf: Shelf, names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, str(shelf.data.workflows[name].get("title") or name)) for name in names]


def model_pages(renderer: Renderer) -> Iterator[Page]:
    """All files of all models."""
    shelf = renderer.shelf
    for name, model in shelf.data.models.items():
        own, users = fingerprint(model), shelf.model_users.get(name, ())
        path = f"models/{name}"
        yield Page(f"{path}.html", fingerprint(own, users), _model_render(renderer, name, model))
        yield Page(f"{path}.json", own, lambda model=model: json_bytes(model))  # type: ignore[misc]


def _model_render(renderer: Renderer, name: str, model: Raw) -> Any:
    shelf = renderer.shelf
    keys = (
        "title description base kind size licence licence_url page sha256 trigger_words unsafe_format sources"
    )
    return lambda: renderer.page(
        "model.html",
        f"models/{name}.html",
        title=str(model.get("title") or model["name"]),
        description=str(model.get("description") or f"The model file {model['name']}."),
        section="models",
        json=f"models/{name}.json",
        model={**dict.fromkeys(keys.split()), **model},
        family=slug(str(model.get("base") or "other")),
        get=command("nodes", "models", "get", model["name"]),
        gate=_GATES.get(str(model.get("gated") or "none"), ""),
        workflows=_workflow_titles(shelf, shelf.model_users.get(name, ())),
        packs=[pack for pack in model.get("used_by") or () if pack in shelf.data.packs],
    )


def workflow_pages(renderer: Renderer) -> Iterator[Page]:
    """All files of all workflows; the drawing's titles follow the schemas."""
    shelf = renderer.shelf
    for name, workflow in shelf.data.workflows.items():
        needs = workflow_needs(shelf, workflow["graph"])
        shown = display_names(shelf, workflow["graph"])
        models = [page for page, users in shelf.model_users.items() if name in users]
        key = fingerprint(workflow, [[p and p["name"], t] for p, t in needs], models, shown)
        yield Page(f"workflows/{name}.html", key, _workflow_render(renderer, name, models))
        graph = json_bytes(workflow["graph"])
        own = fingerprint(workflow)
        yield Page(f"workflows/{name}.workflow.json", own, lambda graph=graph: graph)  # type: ignore[misc]
        yield Page(f"workflows/{name}.json", own, lambda workflow=workflow: json_bytes(workflow))  # type: ignore[misc]


def _workflow_render(renderer: Renderer, name: str, models: list[str]) -> Any:
    shelf, workflow = renderer.shelf, renderer.shelf.data.workflows[name]
    title = str(workflow.get("title") or name)
    return lambda: renderer.page(
        "workflow.html",
        f"workflows/{name}.html",
        title=title,
        description=str(workflow.get("description") or f"The workflow {title}: its graph and what it needs."),
        section="workflows",
        json=f"workflows/{name}.json",
        workflow={"title": None, "description": None, **workflow},
        install=command("nodes", "install-missing", f"{name}.workflow.json"),
        drawing=draw_graph(workflow["graph"], title, display_names(shelf, workflow["graph"])),
        needs=workflow_needs(shelf, workflow["graph"]),
        models=[(page, shelf.data.models[page]) for page in models],
    )


def display_names(shelf: Shelf, graph: Raw) -> dict[str, str]:
    """Titles for the types of a graph."""
    found: Mapping[str, Raw] = {t: e for t in set(node_types_of(graph)) if (e := shelf.data.schemas.get(t))}
    return {name: str(entry.get("display_name") or name) for name, entry in sorted(found.items())}


def workflow_needs(shelf: Shelf, graph: Raw) -> list[tuple[Raw | None, list[tuple[str, str | None]]]]:
    """Packs with the types they are needed for, best known first; last those types that nobody claims."""
    by_pack: dict[str | None, list[tuple[str, str | None]]] = {}
    for node_type in sorted(set(node_types_of(graph))):
        rows = shelf.data.claims.get(node_type, ())
        pack = str(rows[0]["pack"]) if rows else None
        by_pack.setdefault(pack, []).append((node_type, shelf.type_page(node_type)))
    named = sorted(
        (name for name in by_pack if name is not None), key=lambda name: (-len(by_pack[name]), name)
    )
    ordered: list[str | None] = [*named, *([None] if None in by_pack else [])]
    return [
        (None if name is None else shelf.data.packs.get(name, {"name": name}), by_pack[name])
        for name in ordered
    ]
