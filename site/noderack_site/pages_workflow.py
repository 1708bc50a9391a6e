"""Workflows: a page, the workflow itself and a JSON each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from noderack_site.data import Raw
from noderack_site.draw_graph import draw_graph
from noderack_site.graph import node_types_of, part_names
from noderack_site.media import thumbnail_of
from noderack_site.render import Page, Renderer, fingerprint, json_bytes
from noderack_site.shelf import Shelf
from noderack_site.sockets import fields
from noderack_site.text import command


def workflow_pages(renderer: Renderer) -> Iterator[Page]:
    """All files of all workflows; the drawing's titles follow the schemas."""
    shelf = renderer.shelf
    wanted: dict[str, list[str]] = defaultdict(list)
    for page, users in shelf.model_users.items():
        for name in users:
            wanted[name].append(page)
    for name, workflow in shelf.data.workflows.items():
        needs = [
            [pack and (pack["name"], pack.get("title")), types]
            for pack, types in workflow_needs(shelf, workflow["graph"])
        ]
        models = [(page, shelf.data.models[page]) for page in wanted[name]]
        own, shown = fingerprint(workflow), display_names(shelf, workflow["graph"])
        base = f"workflows/{name}"
        thumbnail = thumbnail_of(shelf.data, workflow)
        around = [shown, widget_names(shelf, workflow["graph"]), _maker(shelf, workflow)]
        key = fingerprint(own, needs, models, around, thumbnail and thumbnail.path)
        yield Page(f"{base}.html", key, partial(_html, renderer, name, models))
        yield Page(f"{base}.workflow.json", own, partial(json_bytes, workflow["graph"]))
        yield Page(f"{base}.json", own, partial(json_bytes, workflow))


def _maker(shelf: Shelf, workflow: Raw) -> tuple[str, str] | None:
    """Name and title of the pack that brings the workflow as an example."""
    pack = shelf.data.packs.get(str(workflow.get("pack")))
    return (str(pack["name"]), str(pack.get("title") or pack["name"])) if pack else None


def _html(renderer: Renderer, name: str, models: list[tuple[str, Raw]]) -> bytes:
    shelf, workflow = renderer.shelf, renderer.shelf.data.workflows[name]
    graph, title = workflow["graph"], str(workflow.get("title") or name)
    needs = workflow_needs(shelf, graph)
    sizes = [int(model.get("size") or 0) for _, model in models]
    return renderer.page(
        "workflow.html",
        f"workflows/{name}.html",
        title=title,
        description=str(workflow.get("description") or f"The workflow {title}: its graph and what it needs."),
        section="workflows",
        json=f"workflows/{name}.json",
        workflow={"title": None, "description": None, **workflow},
        install=command("nodes", "install-missing", f"{name}.workflow.json"),
        drawing=draw_graph(graph, title, display_names(shelf, graph), widget_names(shelf, graph)),
        maker=_maker(shelf, workflow),
        thumbnail=thumbnail_of(shelf.data, workflow),
        nodes=sum(1 for _ in node_types_of(graph)),
        to_install=sum(1 for pack, _ in needs if pack and not pack.get("built_in")),
        bytes=sum(sizes),
        needs=needs,
        models=models,
    )


def card(shelf: Shelf, name: str) -> dict[str, Any]:
    """What a gallery shows of a workflow."""
    workflow = shelf.data.workflows[name]
    title = str(workflow.get("title") or name)
    drawing = draw_graph(workflow["graph"], title, display_names(shelf, workflow["graph"]))
    count = sum(1 for _ in node_types_of(workflow["graph"]))
    return {
        "title": title,
        "name": name,
        "drawing": drawing,
        "nodes": count,
        "maker": _maker(shelf, workflow),
    }


def card_key(shelf: Shelf, name: str) -> list[Any]:
    """The same as something to take a fingerprint of, without drawing."""
    workflow = shelf.data.workflows[name]
    return [fingerprint(workflow), display_names(shelf, workflow["graph"]), _maker(shelf, workflow)]


def display_names(shelf: Shelf, graph: Raw) -> dict[str, str]:
    """Titles for the types of a graph."""
    found: Mapping[str, Raw] = {t: e for t in set(node_types_of(graph)) if (e := shelf.data.schemas.get(t))}
    shown = {name: str(entry.get("display_name") or name) for name, entry in sorted(found.items())}
    return {**part_names(graph), **shown}


def widget_names(shelf: Shelf, graph: Raw) -> dict[str, list[str]]:
    """For each type of a graph whose inputs are known, its widgets in their order."""
    found = {t: e for t in sorted(set(node_types_of(graph))) if (e := shelf.data.schemas.get(t))}
    return {name: [field.name for field in fields(entry) if field.widget] for name, entry in found.items()}


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


def workflow_titles(shelf: Shelf, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """(page, title) of these workflows."""
    return [(name, str(shelf.data.workflows[name].get("title") or name)) for name in names]
