"""Group nodes (`workflow>Name`): their definition as a sub-graph body, inner ids being positions.

A group's slots and widgets are those of its members in order, with a member's title or type in front where
a name comes twice; slots that an inner link feeds are not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from noderack_host.schema import InputSchema, NodeSchema
from noderack_host.workflow.graph import (
    IN_ID,
    OUT_ID,
    Graph,
    Input,
    Link,
    Node,
    Output,
    entering,
    index_of,
    key_of,
    leaving,
    mapping,
    read_graph,
    sequence,
)
from noderack_host.workflow.widgets import has_control, is_widget, without_controls

_PREFIXES = ("workflow>", "workflow/")


def group_name(node_type: str) -> str | None:
    prefix = next((p for p in _PREFIXES if node_type.startswith(p)), None)
    return node_type[len(prefix) :] if prefix else None


def group_body(name: str, definition: Mapping[str, Any], schemas: Mapping[str, NodeSchema]) -> Graph:
    """The body that a group node stands for. `raw["group"]` is the schema of its widgets."""
    members = [_member(raw, at) for at, raw in enumerate(sequence(definition.get("nodes")))]
    bare = read_graph({"nodes": members}, f"extra.groupNodes.{name}", [])
    inner = dict(_inner_links(definition))
    builder = _Builder(definition, bare, inner, schemas)
    builder.build()
    nodes = {node.id: _with_links(node, {**inner, **builder.links}) for node in builder.nodes}
    outputs = list(_outputs(definition, nodes, inner))
    out_links = {
        f"out{at}": Link(node_id, slot, OUT_ID, at, kind) for at, (node_id, slot, kind) in enumerate(outputs)
    }
    links = {**inner, **builder.links, **out_links}
    return Graph(
        where=bare.where,
        nodes=nodes,
        links=links,
        entering=entering(links.values()),
        leaving=leaving(links.values()),
        name=name,
        inputs=tuple(builder.inputs),
        outputs=tuple(Output(str(kind), kind) for _, _, kind in outputs),
        raw={"group": NodeSchema(name, tuple(builder.widgets))},
    )


def _member(raw: Any, at: int) -> dict[str, Any]:
    return {**mapping(raw), "id": at}


def _inner_links(definition: Mapping[str, Any]) -> Iterator[tuple[str, Link]]:
    for at, raw in enumerate(sequence(definition.get("links"))):
        parts = [index_of(part) for part in sequence(raw)[:4]]
        if len(parts) == 4 and all(part is not None for part in parts):  # an origin of null lies outside
            origin, origin_slot, target, target_slot = (part or 0 for part in parts)
            kind = raw[5] if len(raw) > 5 else "*"
            yield f"in{at}", Link(str(origin), origin_slot, str(target), target_slot, kind)


class _Builder:
    """Walks the members once, naming the group's inputs and widgets as editors do."""

    def __init__(
        self,
        definition: Mapping[str, Any],
        graph: Graph,
        inner: Mapping[str, Link],
        schemas: Mapping[str, NodeSchema],
    ) -> None:
        self.definition, self.graph, self.inner, self.schemas = definition, graph, inner, schemas
        self.fed = {(link.target, link.target_slot) for link in inner.values()}
        self.inputs: list[Input] = []
        self.widgets: list[InputSchema] = []
        self.links: dict[str, Link] = {}
        self.nodes: list[Node] = []
        self.seen: dict[str, int] = {}

    def build(self) -> None:
        for node in self.graph.nodes.values():
            schema = self.schemas.get(node.type)
            slots = list(node.inputs)
            converted = _converted(node)
            for item, at in self._member_inputs(node, schema, slots):
                if at is None or (node.id, at) not in self.fed:
                    self._show(node, item, slots, at, is_widget(item) and item.name not in converted)
            self.nodes.append(_replace_inputs(node, tuple(slots)))

    def _member_inputs(
        self, node: Node, schema: NodeSchema | None, slots: list[Input]
    ) -> Iterator[tuple[InputSchema, int | None]]:
        """A member's inputs in order, each with its slot if it has one."""
        if node.type == "Reroute":
            kind = self._passed_type(node)
            yield InputSchema(kind, kind, options={"forceInput": True}), 0
        elif node.type == "PrimitiveNode":
            yield from self._primitive(node)
        elif schema is None:
            for at, slot in enumerate(slots):
                yield InputSchema(slot.name, str(slot.type), options={"forceInput": True}), at
        else:
            for item in schema.of_kind("required", "optional"):
                yield item, next((n for n, slot in enumerate(slots) if slot.name == item.name), None)

    def _passed_type(self, node: Node) -> str:
        """What a re-route carries: the type of the input it feeds, else of the output it comes from."""
        for link in self.inner.values():
            target = self.graph.nodes.get(link.target)
            if link.origin == node.id and target and link.target_slot < len(target.inputs):
                return str(target.inputs[link.target_slot].type)
        return "*"

    def _primitive(self, node: Node) -> Iterator[tuple[InputSchema, None]]:
        """A primitive shows one widget, of the type of the widget it feeds."""
        for link in self.inner.values():
            target = self.graph.nodes.get(link.target)
            if link.origin == node.id and target and link.target_slot < len(target.inputs):
                schema = self.schemas.get(target.type)
                fed = schema.input(target.inputs[link.target_slot].name) if schema else None
                if fed is not None:
                    yield InputSchema("value", fed.type, fed.choices, {"control_after_generate": True}), None
                    return

    def _show(
        self, node: Node, item: InputSchema, slots: list[Input], at: int | None, as_widget: bool
    ) -> None:
        config = mapping(mapping(mapping(self.definition.get("config")).get(node.id)).get("input"))
        wish = mapping(config.get(item.name))
        name = self._name(node, item, wish.get("name"))
        if as_widget and at is None:
            at = len(slots)
            slots.append(Input(item.name, item.type, widget=item.name))
        if at is None or wish.get("visible") is False:
            return
        position = len(self.inputs)
        self.inputs.append(Input(name, item.type, widget=name if as_widget else None))
        self.links[f"ext{position}"] = Link(IN_ID, position, node.id, at, item.type)
        if as_widget:
            self.widgets.append(InputSchema(name, item.type, item.choices, _controlled(item), "required"))

    def _name(self, node: Node, item: InputSchema, wished: Any) -> str:
        name = wished if isinstance(wished, str) else item.name
        if name in self.seen:
            count = self.seen[name]
            self.seen[name] += 1
            prefix = node.title or node.type
            name = f"{prefix} {name}" if count == 1 else f"{prefix} {count} {name}"
        self.seen.setdefault(name, 1)
        return name


def _controlled(item: InputSchema) -> Mapping[str, Any]:
    return {**item.options, "control_after_generate": has_control(item)}


def _converted(node: Node) -> set[str]:
    """Widgets turned into sockets. Newer files list every widget among the slots; then none is."""
    listed = [slot.widget for slot in node.inputs if slot.widget]
    values = without_controls(listed, sequence(node.values))
    return set() if len(values) == len(listed) else set(listed)


def _replace_inputs(node: Node, inputs: tuple[Input, ...]) -> Node:
    return replace(node, inputs=tuple(Input(slot.name, slot.type, None, slot.widget) for slot in inputs))


def _with_links(node: Node, links: Mapping[str, Link]) -> Node:
    mine = {link.target_slot: key for key, link in links.items() if link.target == node.id}
    inputs = tuple(
        Input(slot.name, slot.type, mine.get(at), slot.widget) for at, slot in enumerate(node.inputs)
    )
    return replace(node, inputs=inputs)


def _outputs(
    definition: Mapping[str, Any], nodes: Mapping[str, Node], inner: Mapping[str, Link]
) -> Iterator[tuple[str, int, Any]]:
    """Outputs that the group shows: those not used inside, and those its definition names as external."""
    used = {(link.origin, link.origin_slot) for link in inner.values()}
    external = set(_external(definition))
    config = mapping(definition.get("config"))
    for node in nodes.values():
        hidden = mapping(mapping(config.get(node.id)).get("output"))
        for slot, output in enumerate(node.outputs):
            place = (node.id, slot)
            visible = mapping(hidden.get(str(slot))).get("visible") is not False
            if visible and (place not in used or place in external):
                yield node.id, slot, output.type


def _external(definition: Mapping[str, Any]) -> Iterator[tuple[str | None, int | None]]:
    """Outputs used outside, by member: written as its position, or as the whole node with its `index`."""
    for raw in sequence(definition.get("external")):
        if isinstance(raw, list) and len(raw) >= 2:
            member = raw[0].get("index") if isinstance(raw[0], Mapping) else raw[0]
            yield key_of(member), index_of(raw[1])
