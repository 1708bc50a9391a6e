"""Follow a link to what really feeds an input: through re-routes, bypassed nodes and sub-graph borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from noderack_host.workflow.graph import BYPASS, IN_ID, NEVER, Link, Node, sequence
from noderack_host.workflow.scope import Scope
from noderack_host.workflow.slots import bypass_input
from noderack_host.workflow.virtual import GETTERS, PASS_THROUGH, SETTERS, is_virtual


@dataclass(frozen=True, slots=True)
class Ref:
    """Output `slot` of the node with this path id."""

    id: str
    slot: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value instead of a link: a promoted widget's, or a primitive node's."""

    value: Any


@dataclass(frozen=True, slots=True)
class _At:
    """Where the search stands: an output of a node id in a scope, and the type wanted from it."""

    scope: Scope
    id: str
    slot: int
    wanted: Any


def resolve(scope: Scope, node: Node, slot: int) -> Ref | Literal | None:
    """What feeds input `slot` of `node`; None when nothing does, or when the way there goes in circles."""
    step: _At | Ref | Literal | None = _follow(scope, node, slot)
    memo = scope.memo
    seen: dict[Any, None] = {}
    while isinstance(step, _At):
        place = (id(step.scope), step.id, step.slot, str(step.wanted))
        if place in memo:
            step = memo[place]
            break
        if place in seen:
            step = None
            break
        seen[place] = None
        step = _leave_body(step) if step.id == IN_ID and step.scope.instance is not None else _output(step)
    found = None if isinstance(step, _At) else step
    memo.update(dict.fromkeys(seen, found))
    return found


def _follow(scope: Scope, node: Node, slot: int) -> _At | None:
    if slot >= len(node.inputs):
        return None
    link = scope.link_into(node, slot)
    return _at(scope, link, node.inputs[slot].type) if link is not None else None


def _at(scope: Scope, link: Link, wanted: Any) -> _At:
    return _At(scope, link.origin, link.origin_slot, wanted)


def _leave_body(at: _At) -> _At | Literal | None:
    """From a body's own input to what its instance gets there."""
    scope, instance = at.scope, at.scope.instance
    if instance is None or scope.parent is None or at.slot >= len(scope.graph.inputs):
        return None
    inner = scope.graph.inputs[at.slot]
    outer = instance.input_index(inner.name)
    if outer is not None:
        found = _follow(scope.parent, instance, outer)
        if found is not None:
            return found
    return Literal(scope.promoted[inner.name]) if inner.name in scope.promoted else None


def _output(at: _At) -> _At | Ref | Literal | None:
    node = at.scope.graph.nodes.get(at.id)
    if node is None or node.mode == NEVER:
        return None
    if node.mode == BYPASS:
        slot = bypass_input(node, at.slot, at.wanted)
        return _follow(at.scope, node, slot) if slot is not None else None
    if node.id in at.scope.children:
        return _enter_body(at, node)
    if is_virtual(node.type):
        return _virtual(at, node)
    return Ref(at.scope.prefix + node.id, at.slot)


def _enter_body(at: _At, node: Node) -> _At | None:
    inner = at.scope.children[node.id]
    slot = _output_slot(inner, node, at.slot)
    link = inner.graph.leaving.get(slot)
    return _at(inner, link, at.wanted) if link is not None else None


def _output_slot(inner: Scope, node: Node, slot: int) -> int:
    """The definition's slot for an instance's: the same, unless names say that the definition has changed."""
    outputs = inner.graph.outputs
    name = node.outputs[slot].name if slot < len(node.outputs) else ""
    if slot < len(outputs) and outputs[slot].name == name:
        return slot
    named = [at for at, output in enumerate(outputs) if name and output.name == name]
    return named[0] if len(named) == 1 else slot


def _virtual(at: _At, node: Node) -> _At | Literal | None:
    if node.type == "PrimitiveNode" and not node.inputs:
        values = sequence(node.values)
        return Literal(values[0]) if values else None
    if node.type in GETTERS:
        return _setter(at, node)
    if node.type in PASS_THROUGH or node.type in SETTERS:
        found = _follow(at.scope, node, 0)
        return _At(found.scope, found.id, found.slot, at.wanted) if found is not None else None
    return _follow(at.scope, node, at.slot)


def _setter(at: _At, getter: Node) -> _At | None:
    """The set node of the same name, in the getter's graph or in one around it."""
    name = next(iter(sequence(getter.values)), None)
    scope: Scope | None = at.scope
    while scope is not None and name is not None:
        setter = _setters(scope).get(str(name))
        if setter is not None:
            found = _follow(scope, setter, 0)
            return _At(found.scope, found.id, found.slot, at.wanted) if found is not None else None
        scope = scope.parent
    return None


def _setters(scope: Scope) -> dict[str, Node]:
    """Set nodes of a scope by the name they set, the first of each; collected once for each scope."""
    key = (id(scope), "setters")
    if key not in scope.memo:
        found: dict[str, Node] = {}
        for node in scope.graph.nodes.values():
            if node.type in SETTERS:
                found.setdefault(str(next(iter(sequence(node.values)), None)), node)
        scope.memo[key] = found
    known: dict[str, Node] = scope.memo[key]
    return known
