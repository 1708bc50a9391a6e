"""The data arranged for showing: orders, addresses, who publishes what, which node goes where.

Everything here is computed from SiteData alone and in a fixed order, so that equal data gives equal pages.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from noderack_site.data import Raw, SiteData
from noderack_site.graph import node_types_of, nodes_of, parts_of
from noderack_site.names import page_names, slug
from noderack_site.sockets import input_sockets, output_types

_REQUIRED = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_RUN = re.compile(r"[-_.]+")


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
    model_packs: Mapping[str, tuple[str, ...]]
    examples: Mapping[str, tuple[str, ...]]
    socket_pages: Mapping[str, str]

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
    used_in = _grouped(
        (node_type, name)
        for name, workflow in sorted(data.workflows.items())
        for node_type in sorted(set(node_types_of(workflow["graph"])))
    )
    made, taken = _sockets(data, types, used_in)
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
        used_in=used_in,
        makers=made,
        takers=taken,
        dependents=_dependents(data),
        model_users=_model_users(data),
        model_packs=_model_packs(data),
        examples=_grouped((str(w.get("pack") or ""), name) for name, w in data.workflows.items()),
        socket_pages=page_names(sorted({*made, *taken})),
    )


def required_name(requirement: str) -> str:
    """The name that a requirement such as `Film_Looks>=1.2; extra` begins with, as packs are called here."""
    found = _REQUIRED.match(requirement)
    return _RUN.sub("-", found[1]).lower() if found else ""


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
    data: SiteData, types: Iterable[str], used_in: Mapping[str, Sequence[str]]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """For each socket type, the node types that give it and those that take it.

    First those that are its beginning or its end (a loader of models, a decoder of latents), then those that
    pass it on; among them what more workflows use; deprecated ones last.
    """
    made: dict[str, list[tuple[bool, bool, int, str]]] = defaultdict(list)
    taken: dict[str, list[tuple[bool, bool, int, str]]] = defaultdict(list)
    for node_type in types:
        entry = data.schemas.get(node_type)
        if not entry:
            continue
        outputs = dict.fromkeys(output_types(entry))
        inputs = dict.fromkeys(socket.type for socket in input_sockets(entry))
        old, uses = bool(entry.get("deprecated")), -len(used_in.get(node_type, ()))
        for kind in outputs:
            made[kind].append((old, kind in inputs, uses, node_type))
        for kind in inputs:
            taken[kind].append((old, kind in outputs, uses, node_type))
    return _ranked(made), _ranked(taken)


def _ranked(found: Mapping[str, list[tuple[bool, bool, int, str]]]) -> dict[str, tuple[str, ...]]:
    return {kind: tuple(row[3] for row in sorted(found[kind], key=lambda row: row[:3])) for kind in found}


def _dependents(data: SiteData) -> dict[str, tuple[str, ...]]:
    return _grouped(
        (required_name(str(requirement)), name)
        for name, pack in sorted(data.packs.items())
        for requirement in pack.get("dependencies") or ()
    )


def _model_users(data: SiteData) -> dict[str, tuple[str, ...]]:
    """For each model's page, the workflows whose widgets name its file."""
    pages = _model_names(data)
    return _grouped(
        (page, workflow_name)
        for workflow_name, workflow in sorted(data.workflows.items())
        for file in sorted(_file_names(workflow["graph"]) & pages.keys())
        for page in pages[file]
    )


def _model_packs(data: SiteData) -> dict[str, tuple[str, ...]]:
    """For each model's page, the packs whose newest version asks for it, or whose nodes it was made for."""
    pages = _model_names(data)
    for page, model in data.models.items():
        if model.get("sha256"):
            pages[model["sha256"]] = [page]
    asked = (
        (page, name)
        for name, pack in sorted(data.packs.items())
        for release in (pack.get("releases") or ())[:1]
        for model in release.get("models") or ()
        for page in pages.get(model.get("sha256") or "", pages.get(str(model.get("name")), ()))
    )
    meant = (
        (page, str(claim["pack"]))
        for page, model in sorted(data.models.items())
        for user in model.get("used_by") or ()
        for claim in data.claims.get(user, ({"pack": user},) if user in data.packs else ())[:1]
    )
    found = _grouped(sorted({*asked, *meant}))
    return {page: tuple(name for name in names if name in data.packs) for page, names in found.items()}


def _model_names(data: SiteData) -> dict[str, list[str]]:
    """{file name: pages of the models that have it, as their name or as an alias}."""
    pages: dict[str, list[str]] = defaultdict(list)
    for page, model in data.models.items():
        for name in dict.fromkeys((str(model.get("name", "")), *(model.get("aliases") or ()))):
            pages[name].append(page)
    return pages


def _file_names(graph: Raw) -> set[str]:
    values = (value for part in parts_of(graph) for node in nodes_of(part) for value in _values(node))
    return {value.replace("\\", "/").rsplit("/", 1)[-1] for value in values if isinstance(value, str)}


def _values(node: Raw) -> Iterable[object]:
    """What is set in a node, and the models that it says it wants."""
    properties = node.get("properties")
    models = properties.get("models") if isinstance(properties, dict) else None
    wanted = (
        (model.get("name") for model in models if isinstance(model, dict)) if isinstance(models, list) else ()
    )
    return [*wanted, *_set(node)]


def _set(node: Raw) -> Iterable[object]:
    values = node.get("widgets_values") or ()
    if isinstance(values, dict):
        return values.values()
    return values if isinstance(values, list) else ()
