"""Workflows in UI form, read only as far as drawing them and listing what they need takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from noderack_site.data import Raw

_GROUPS = ("workflow>", "workflow/")
DRAWN_ONLY = frozenset({"Note", "MarkdownNote", "Reroute", "PrimitiveNode"})


def node_types_of(graph: Raw) -> Iterator[str]:
    """Every executable node's type, inside sub-graphs too; drawn-only nodes and instances are left out."""
    known = {str(definition.get("id")) for definition in _definitions(graph)}
    for part in parts_of(graph):
        for node in nodes_of(part):
            kind = str(node.get("type", ""))
            if kind and kind not in DRAWN_ONLY and kind not in known and not kind.startswith(_GROUPS):
                yield kind
    for group in _grouped(graph):
        yield from (kind for node in nodes_of(group) if (kind := str(node.get("type", ""))) not in DRAWN_ONLY)


def part_names(graph: Raw) -> dict[str, str]:
    """Names of the sub-graphs that a graph defines, by what their instances have as type."""
    return {str(part.get("id")): str(part.get("name") or "Sub-graph") for part in _definitions(graph)}


def _grouped(graph: Raw) -> list[Any]:
    """The older kind of sub-graph: nodes under a name in `extra`."""
    extra = graph.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, dict) else None
    return [group for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []


def parts_of(graph: Raw) -> list[Any]:
    """The graph itself and the sub-graphs that it defines."""
    return [graph, *_definitions(graph)]


def nodes_of(graph: Raw) -> list[Any]:
    """The node records; whatever is no record is left out."""
    nodes = graph.get("nodes")
    return [node for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []


def links_of(graph: Raw) -> Iterator[tuple[Any, int, Any, int, str]]:
    """(from node, from slot, to node, to slot, type) of each link, in either of the two forms."""
    links = graph.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, list) and len(link) >= 6:
            yield link[1], _slot(link[2]), link[3], _slot(link[4]), str(link[5])
        elif isinstance(link, dict):
            yield (
                link.get("origin_id"),
                _slot(link.get("origin_slot")),
                link.get("target_id"),
                _slot(link.get("target_slot")),
                str(link.get("type")),
            )


def _slot(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _definitions(graph: Raw) -> list[Any]:
    definitions = graph.get("definitions")
    found = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []
