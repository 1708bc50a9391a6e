"""Sub-graphs and group nodes laid flat: which bodies stand where, and what their instances set in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from noderack_host.schema import NodeSchema
from noderack_host.workflow.errors import WorkflowError
from noderack_host.workflow.everywhere import broadcast
from noderack_host.workflow.graph import Document, Graph, Link, Node, mapping, sequence
from noderack_host.workflow.groups import group_body, group_name
from noderack_host.workflow.virtual import is_virtual

MAX_NODES = 20_000
"""Most nodes a workflow may have when flat; the largest seen has 1,391."""
MAX_DEPTH = 32
_DEEPER = ": "
Overrides = dict[str, dict[str, Any]]
_DEEPEST_COMPONENT = 3


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """A graph at one place of the flat workflow.

    `prefix` is what ids of its nodes get in front (`12:`), `instance` the node in `parent` that shows it.
    `promoted` holds values of the instance's own widgets by input name, `overrides` those it sets on inner
    widgets, by inner id and widget name.
    """

    graph: Graph
    prefix: str = ""
    instance: Node | None = None
    parent: Scope | None = None
    promoted: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    children: dict[str, Scope] = field(default_factory=dict)
    extra_links: Mapping[tuple[str, int], Link] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict)
    """What `resolve` has found out, shared by all scopes of a document: long lines are walked once."""

    def link_into(self, node: Node, slot: int) -> Link | None:
        """The link an input really has: its own `link` entry is the truth, not the list's targets."""
        key = node.inputs[slot].link
        link = self.graph.links.get(key) if key is not None else None
        return link if link is not None else self.extra_links.get((node.id, slot))


@dataclass(frozen=True, slots=True)
class Placed:
    """A node at its place: `id` is its path, such as `12:3`."""

    scope: Scope
    node: Node

    @property
    def id(self) -> str:
        return self.scope.prefix + self.node.id


@dataclass(slots=True)
class _Growth:
    document: Document
    schemas: Mapping[str, NodeSchema]
    inactive: bool
    count: int = 0
    bodies: dict[str, Graph] = field(default_factory=dict)


def flatten(
    document: Document, schemas: Mapping[str, NodeSchema], *, inactive: bool = False
) -> tuple[Scope, list[Placed]]:
    """The root scope, and every node that runs, sub-graphs replaced by their bodies.

    Muted and bypassed nodes are left out (with `inactive` they are listed as well). Raises WorkflowError for
    sub-graphs that contain themselves, or more than MAX_NODES nodes.
    """
    growth = _Growth(document, schemas, inactive)
    root = Scope(document.root, extra_links=broadcast(document.root))
    placed: list[Placed] = []
    _grow(root, (), growth, placed)
    return root, placed


def with_components(placed: Sequence[Placed], document: Document) -> Iterator[Placed]:
    """The same nodes, and those inside components: a prompt keeps a component whole, its needs are inside."""
    waiting, count = deque((place, 0) for place in placed), 0
    while waiting:
        place, depth = waiting.popleft()
        count += 1
        if count > MAX_NODES:
            raise WorkflowError(f"more than {MAX_NODES} nodes with those of its components", place.node.where)
        yield place
        body = document.components.get(place.node.type)
        if body is not None and depth < _DEEPEST_COMPONENT:
            inner = Scope(body, f"{place.id}:")
            nodes = (node for node in body.nodes.values() if node.active and not is_virtual(node.type))
            waiting.extendleft((Placed(inner, node), depth + 1) for node in reversed(list(nodes)))


def body_of(node: Node, document: Document, schemas: Mapping[str, NodeSchema]) -> Graph | None:
    """The graph that a node stands for, if it stands for one."""
    if node.type in document.definitions:
        return document.definitions[node.type]
    name = group_name(node.type)
    if name is not None and name in document.groups:
        return group_body(name, document.groups[name], schemas)
    return None


def _grow(scope: Scope, above: tuple[str, ...], growth: _Growth, placed: list[Placed]) -> None:
    for node in scope.graph.nodes.values():
        if not (node.active or growth.inactive) or is_virtual(node.type):
            continue
        growth.count += 1
        if growth.count > MAX_NODES:
            raise WorkflowError(f"more than {MAX_NODES} nodes once its sub-graphs are laid out", node.where)
        body = _body(node, growth)
        if body is None:
            placed.append(Placed(scope, node))
            continue
        if node.type in above or len(above) >= MAX_DEPTH:
            raise WorkflowError(f"the sub-graph {body.name or node.type!r} contains itself", node.where)
        child = _child(scope, node, body, growth)
        scope.children[node.id] = child
        _grow(child, (*above, node.type), growth, placed)


def _body(node: Node, growth: _Growth) -> Graph | None:
    if node.type not in growth.bodies:
        body = body_of(node, growth.document, growth.schemas)
        if body is None:
            return None
        growth.bodies[node.type] = body
    return growth.bodies[node.type]


def _child(scope: Scope, node: Node, body: Graph, growth: _Growth) -> Scope:
    promoted, overrides = instance_values(node, body, growth.schemas)
    return Scope(
        graph=body,
        prefix=f"{scope.prefix}{node.id}:",
        instance=node,
        parent=scope,
        promoted={**promoted, **_from_above(scope, node)},
        overrides=_merged(overrides, _from_further_above(scope, node)),
        extra_links=broadcast(body),
        memo=scope.memo,
    )


def _from_above(scope: Scope, node: Node) -> dict[str, Any]:
    """Values that the scope's own instance sets on this inner instance."""
    mine = scope.overrides.get(node.id, {})
    return {name: value for name, value in mine.items() if _DEEPER not in name}


def _from_further_above(scope: Scope, node: Node) -> Overrides:
    """Values for nodes inside this inner instance: their names carry the inner id, `461: seed`."""
    found: Overrides = {}
    for name, value in scope.overrides.get(node.id, {}).items():
        target, deeper, rest = name.partition(_DEEPER)
        if deeper:
            found.setdefault(target, {})[rest] = value
    return found


def _merged(one: Overrides, other: Overrides) -> Overrides:
    """Both; where they set the same, what comes from further out counts."""
    return {key: {**one.get(key, {}), **other.get(key, {})} for key in (*one, *other)}


def instance_values(
    node: Node, body: Graph, schemas: Mapping[str, NodeSchema]
) -> tuple[dict[str, Any], Overrides]:
    """What an instance sets: values by its own input names, and values by inner id and widget name.

    Two storages exist. With `properties.proxyWidgets`, `widgets_values` runs along that list; without it,
    along the promoted inputs of the definition. A null means "not set": the inner value counts.
    """
    if "group" in body.raw:
        return group_values(node, body), {}
    proxies = [tuple(map(str, p[:2])) for p in sequence(node.properties.get("proxyWidgets")) if _is_pair(p)]
    values = list(sequence(node.values)) if not isinstance(node.values, Mapping) else []
    if proxies and len(values) <= len(proxies):
        return _by_proxies(proxies, values, node)
    names = list(promoted_names(node, body))
    found = dict(zip(names, values, strict=False))
    if node.named is not None and len(values) != len(names):
        found = {k: v for k, v in node.named.items() if k in names}
    return {k: v for k, v in found.items() if v is not None}, {}


def _is_pair(proxy: Any) -> bool:
    return isinstance(proxy, list) and len(proxy) >= 2


def _by_proxies(
    proxies: list[tuple[str, ...]], values: list[Any], node: Node
) -> tuple[dict[str, Any], Overrides]:
    own: dict[str, Any] = {}
    inner: Overrides = {}
    for (target, name), value in zip(proxies, values, strict=False):
        if value is None:
            continue
        if target == "-1":
            own[name] = value
        else:
            inner.setdefault(target, {})[name] = value
    return own, inner


def promoted_names(node: Node, body: Graph) -> Iterator[str]:
    """Names of the definition's inputs that stand for widgets of inner nodes, in order."""
    shown = {slot.name for slot in node.inputs if slot.widget}
    for at, item in enumerate(body.inputs):
        if item.name in shown or any(_is_widget_slot(body, link) for link in body.entering.get(at, ())):
            yield item.name


def _is_widget_slot(body: Graph, link: Link) -> bool:
    target = body.nodes.get(link.target)
    if target is None or link.target_slot >= len(target.inputs):
        return False
    return target.inputs[link.target_slot].widget is not None


def group_values(node: Node, body: Graph) -> dict[str, Any]:
    """Values of a group node's widgets by the names of its widgets."""
    from noderack_host.workflow.widgets import saved_values

    schema = mapping(body.raw).get("group")
    return dict(saved_values(node, schema).found) if isinstance(schema, NodeSchema) else {}
