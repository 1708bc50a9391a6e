"""The editor's graph, made regular: ids as text, links as records, one `Graph` per scope.

Files in the wild disagree on every field (workflow-corpus, section 9), so nothing here trusts a type. What
has to be passed over becomes a note with its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from noderack_host.workflow.errors import Note

IN_ID, OUT_ID = "-10", "-20"
"""A sub-graph's own input and output node."""
NEVER, BYPASS = 2, 4
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Input:
    """An input slot. `widget` is the name of the widget it stands for, `link` the key of its link."""

    name: str
    type: Any
    link: str | None = None
    widget: str | None = None


@dataclass(frozen=True, slots=True)
class Output:
    name: str
    type: Any


@dataclass(frozen=True, slots=True)
class Link:
    """From an output slot to an input slot; ids are texts."""

    origin: str
    origin_slot: int
    target: str
    target_slot: int
    type: Any = "*"


@dataclass(frozen=True, slots=True)
class Node:
    """A node as drawn. `values` is `widgets_values` as it stands, `named` is `widgets_values_named`."""

    id: str
    type: str
    where: str
    mode: int = 0
    title: str | None = None
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    values: Sequence[Any] | Mapping[str, Any] | None = None
    named: Mapping[str, Any] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        return self.mode not in (NEVER, BYPASS)

    def input_index(self, name: str) -> int | None:
        return next((at for at, slot in enumerate(self.inputs) if slot.name == name), None)


@dataclass(frozen=True, slots=True)
class Graph:
    """One scope: the root, or the body of a sub-graph with its own inputs and outputs."""

    where: str
    nodes: Mapping[str, Node]
    links: Mapping[str, Link]
    name: str = ""
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)
    entering: Mapping[int, tuple[Link, ...]] = field(default_factory=dict)
    """Links from the graph's own inputs, by input."""
    leaving: Mapping[int, Link] = field(default_factory=dict)
    """The link into each of the graph's own outputs."""


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file: its root, sub-graphs by id, group nodes by name, components by type, and remarks."""

    root: Graph
    definitions: Mapping[str, Graph]
    groups: Mapping[str, Mapping[str, Any]]
    components: Mapping[str, Graph] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


def key_of(value: Any) -> str | None:
    """An id as the editor would print it: 3, 3.0 and "3" are one id; None where there is none."""
    if type(value) is int and -(1 << 62) < value < 1 << 62:
        return str(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return str(value) if abs(value) < 1 << 80 else None


def index_of(value: Any) -> int | None:
    """A slot number, or None."""
    if type(value) is int:
        return value if 0 <= value < 1_000_000 else None
    text = key_of(value)
    return int(text) if text is not None and len(text) < 7 and text.isascii() and text.isdigit() else None


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else _NOTHING


def sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def read_document(ui: Mapping[str, Any]) -> Document:
    """Make an editor's graph regular. Never raises; what is unusable is left out and noted."""
    notes: list[Note] = []
    definitions: dict[str, Graph] = {}
    _definitions(ui, "definitions.subgraphs", definitions, notes, 0)
    extra = mapping(ui.get("extra"))
    groups = {str(k): v for k, v in mapping(extra.get("groupNodes")).items() if isinstance(v, Mapping)}
    components = {
        str(kind): read_graph(raw, f"components.{kind}", notes)
        for kind, raw in mapping(ui.get("components")).items()
        if isinstance(raw, Mapping)
    }
    return Document(read_graph(ui, "", notes), definitions, groups, components, tuple(notes))


def _definitions(
    holder: Mapping[str, Any], where: str, into: dict[str, Graph], notes: list[Note], depth: int
) -> None:
    listed = mapping(holder.get("definitions")).get("subgraphs")
    items = list(listed.values()) if isinstance(listed, Mapping) else sequence(listed)
    for at, raw in enumerate(items):
        place = f"{where}[{at}]"
        name = raw.get("id") if isinstance(raw, Mapping) else None
        if not isinstance(name, str):
            notes.append(Note("unreadable", "a sub-graph definition without an id", place))
            continue
        if name in into:
            notes.append(
                Note("duplicate-id", f"the sub-graph id {name} is defined twice; the first counts", place)
            )
            continue
        into[name] = read_graph(raw, place, notes)
        if depth < 16:
            _definitions(raw, f"{place}.definitions.subgraphs", into, notes, depth + 1)


def read_graph(raw: Mapping[str, Any], where: str, notes: list[Note]) -> Graph:
    dot = f"{where}." if where else ""
    nodes = _nodes(sequence(raw.get("nodes")), f"{dot}nodes", notes)
    links = _links(raw.get("links"), nodes, f"{dot}links", notes)
    return Graph(
        where=where,
        nodes={node.id: node for node in nodes},
        links=links,
        entering=entering(links.values()),
        leaving=leaving(links.values()),
        name=str(raw.get("name") or ""),
        inputs=tuple(_slots(raw.get("inputs"))),
        outputs=tuple(_outputs(raw.get("outputs"))),
        raw=raw,
    )


def entering(links: Iterable[Link]) -> dict[int, tuple[Link, ...]]:
    found: dict[int, list[Link]] = {}
    for link in links:
        if link.origin == IN_ID:
            found.setdefault(link.origin_slot, []).append(link)
    return {slot: tuple(listed) for slot, listed in found.items()}


def leaving(links: Iterable[Link]) -> dict[int, Link]:
    found: dict[int, Link] = {}
    for link in links:
        if link.target == OUT_ID:
            found.setdefault(link.target_slot, link)
    return found


def _nodes(items: Sequence[Any], where: str, notes: list[Note]) -> list[Node]:
    nodes: list[Node] = []
    taken: set[str] = set()
    fresh = _fresh_ids(items)
    for at, raw in enumerate(items):
        place = f"{where}[{at}]"
        if not isinstance(raw, Mapping) or not isinstance(raw.get("type"), str):
            notes.append(Note("unreadable", "a node without a type", place))
            continue
        node_id = key_of(raw.get("id"))
        if node_id is None or node_id == "-1" or node_id in taken:
            if node_id in taken:
                notes.append(
                    Note("duplicate-id", f"a second node with the id {node_id}; it gets its own", place)
                )
            node_id = str(next(fresh))
        taken.add(node_id)
        nodes.append(_node(raw, node_id, place))
    return nodes


def _fresh_ids(items: Sequence[Any]) -> Iterator[int]:
    used = [index_of(mapping(raw).get("id")) or 0 for raw in items]
    number = max(used, default=0)
    while True:
        number += 1
        yield number


def _node(raw: Mapping[str, Any], node_id: str, where: str) -> Node:
    mode, title, values = raw.get("mode"), raw.get("title"), raw.get("widgets_values")
    named = raw.get("widgets_values_named")
    return Node(
        id=node_id,
        type=raw["type"],
        where=where,
        mode=mode if isinstance(mode, int) else 0,
        title=title if isinstance(title, str) else None,
        inputs=tuple(_slots(raw.get("inputs"))),
        outputs=tuple(_outputs(raw.get("outputs"))),
        values=values if isinstance(values, (list, Mapping)) else None,
        named=named if isinstance(named, Mapping) and named else None,
        properties=mapping(raw.get("properties")),
        raw=raw,
    )


def _slots(items: Any) -> Iterator[Input]:
    for raw in sequence(items):
        slot = mapping(raw)
        widget = mapping(slot.get("widget")).get("name")
        name = slot.get("name")
        yield Input(
            name=name if isinstance(name, str) else "",
            type=slot.get("type"),
            link=key_of(slot.get("link")),
            widget=widget if isinstance(widget, str) else None,
        )


def _outputs(items: Any) -> Iterator[Output]:
    for raw in sequence(items):
        slot = mapping(raw)
        yield Output(str(slot.get("name") or ""), slot.get("type"))


def _links(items: Any, nodes: Sequence[Node], where: str, notes: list[Note]) -> dict[str, Link]:
    links: dict[str, Link] = {}
    listed = list(items.values()) if isinstance(items, Mapping) else sequence(items)
    for at, raw in enumerate(listed):
        if raw is None:
            continue
        read = _link(raw, nodes)
        if read is None:
            notes.append(Note("unreadable", "a link that names no nodes and slots", f"{where}[{at}]"))
        else:
            links[read[0]] = read[1]
    return links


def _link(raw: Any, nodes: Sequence[Node]) -> tuple[str, Link] | None:
    if isinstance(raw, Mapping):
        parts = [raw.get(k) for k in ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")]
    elif isinstance(raw, list) and len(raw) == 5:
        # Clipboard form: [origin position, slot, target position, slot, id].
        parts = [raw[4], _id_at(nodes, raw[0]), raw[1], _id_at(nodes, raw[2]), raw[3], "*"]
    elif isinstance(raw, list) and len(raw) >= 6:
        parts = raw[:6]
    else:
        return None
    name, origin, target = (key_of(parts[n]) for n in (0, 1, 3))
    slots = index_of(parts[2]), index_of(parts[4])
    if name is None or origin is None or target is None or slots[0] is None or slots[1] is None:
        return None
    return name, Link(origin, slots[0], target, slots[1], parts[5])


def _id_at(nodes: Sequence[Node], position: Any) -> str | None:
    at = index_of(position)
    return nodes[at].id if at is not None and at < len(nodes) else None
