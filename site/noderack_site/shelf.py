"""The data arranged for showing: orders, addresses, who publishes what, which node goes where.

Everything here is computed from SiteData alone and in a fixed order, so that equal data gives equal pages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from noderack_site.data import Raw, SiteData
from noderack_site.graph import node_types_of
from noderack_site.names import page_names, slug
from noderack_site.sockets import input_sockets, output_types

TOP = 12


@dataclass(frozen=True, slots=True)
class Shelf:
    """Site data with its orders and addresses. Tuples of names go from the best known to the least."""

    data: SiteData
    packs: tuple[str, ...]
    types: tuple[str, ...]
    type_pages: Mapping[str, str]
    publishers: Mapping[str, tuple[str, ...]]
    tags: Mapping[str, tuple[str, ...]]
    families: Mapping[str, tuple[str, ...]]
    categories: Mapping[str, tuple[str, ...]]
    used_in: Mapping[str, tuple[str, ...]]
    makers: Mapping[str, tuple[str, ...]]
    takers: Mapping[str, tuple[str, ...]]
    dependents: Mapping[str, tuple[str, ...]]
    model_users: Mapping[str, tuple[str, ...]]

    def type_page(self, name: str) -> str | None:
        """The address of a node type's page under the site's root, or None for a type without one."""
        page = self.type_pages.get(name)
        return None if page is None else f"nodes/{page}.html"


def popularity(pack: Raw) -> tuple[bool, int, int, str]:
    """Sorts packs: built-in first, then downloads, stars, name."""
    return (
        not pack.get("built_in", False),
        -int(pack.get("downloads") or 0),
        -int(pack.get("stars") or 0),
        str(pack["name"]),
    )


def arrange(data: SiteData) -> Shelf:
    """Put the data on the shelf."""
    packs = tuple(sorted(data.packs, key=lambda name: popularity(data.packs[name])))
    place = {name: number for number, name in enumerate(packs)}
    types = _types_in_order(data, place)
    made, taken = _sockets(data, types)
    return Shelf(
        data=data,
        packs=packs,
        types=types,
        type_pages=page_names(types),
        publishers=_grouped((_publisher(data.packs[name]), name) for name in packs),
        tags=_grouped((slug(tag), name) for name in packs for tag in data.packs[name].get("tags", ())),
        families=_grouped((str(m.get("base") or "other"), name) for name, m in sorted(data.models.items())),
        categories=_grouped(
            (top_category(data.schemas[name]), name) for name in types if name in data.schemas
        ),
        used_in=_grouped(
            (node_type, name)
            for name, workflow in sorted(data.workflows.items())
            for node_type in sorted(set(node_types_of(workflow["graph"])))
        ),
        makers=made,
        takers=taken,
        dependents=_dependents(data),
        model_users=_model_users(data),
    )


def top_category(entry: Raw) -> str:
    """The first part of a node's category: image/upscaling is in image."""
    return str(entry.get("category") or "other").split("/")[0].strip() or "other"


def _publisher(pack: Raw) -> str:
    return slug(str(pack.get("publisher") or pack.get("author") or "unknown"))


def _types_in_order(data: SiteData, place: Mapping[str, int]) -> tuple[str, ...]:
    last = len(place)

    def best_pack(node_type: str) -> tuple[int, str]:
        rows = data.claims.get(node_type, ())
        return place.get(rows[0]["pack"], last) if rows else last, node_type

    return tuple(sorted({*data.claims, *data.schemas}, key=best_pack))


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return {key: tuple(groups[key]) for key in sorted(groups)}


def _sockets(
    data: SiteData, types: Iterable[str]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """For each socket type, the node types that give it and those that take it."""
    made: dict[str, list[str]] = defaultdict(list)
    taken: dict[str, list[str]] = defaultdict(list)
    for node_type in types:
        entry = data.schemas.get(node_type)
        if entry:
            for kind in dict.fromkeys(output_types(entry)):
                made[kind].append(node_type)
            for kind in dict.fromkeys(socket.type for socket in input_sockets(entry)):
                taken[kind].append(node_type)
    return (
        {kind: tuple(names[:TOP]) for kind, names in made.items()},
        {kind: tuple(names[:TOP]) for kind, names in taken.items()},
    )


def _dependents(data: SiteData) -> dict[str, tuple[str, ...]]:
    return _grouped(
        (requirement.split(";")[0].split("[")[0].strip(" <>=!~.0123456789()").lower(), name)
        for name, pack in sorted(data.packs.items())
        for requirement in pack.get("dependencies", ())
    )


def _model_users(data: SiteData) -> dict[str, tuple[str, ...]]:
    """For each model file's name, the workflows whose widgets name it."""
    names = {str(model.get("name", "")): page for page, model in data.models.items()}
    return _grouped(
        (names[file], workflow_name)
        for workflow_name, workflow in sorted(data.workflows.items())
        for file in sorted(_file_names(workflow["graph"]) & names.keys())
    )


def _file_names(graph: Raw) -> set[str]:
    values = (value for node in graph.get("nodes", ()) for value in _values(node))
    return {value.replace("\\", "/").rsplit("/", 1)[-1] for value in values if isinstance(value, str)}


def _values(node: Raw) -> Iterable[object]:
    values = node.get("widgets_values") or ()
    return values.values() if isinstance(values, dict) else values
