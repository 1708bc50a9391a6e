"""Whether a socket fits another, and which input a bypassed node hands on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noderack_host.workflow.graph import Node


def is_any(kind: Any) -> bool:
    """Empty, 0, null and `*` all mean "anything"."""
    return kind in ("*", "", 0, None) if not isinstance(kind, (list, dict)) else False


def fits(one: Any, other: Any) -> bool:
    """Editors' rule: anything, equal but for case, or one member of two comma unions in common."""
    if is_any(one) or is_any(other):
        return True
    a, b = _members(one), _members(other)
    return not a.isdisjoint(b)


def _members(kind: Any) -> set[str]:
    text = ",".join(map(str, kind)) if isinstance(kind, list) else str(kind)
    return {part.strip().lower() for part in text.split(",")}


def bypass_input(node: Node, output_slot: int, wanted: Any) -> int | None:
    """The input slot whose value a bypassed node gives at `output_slot` to a socket of type `wanted`."""
    count = len(node.inputs)
    if not count:
        return None
    if is_any(wanted):
        return output_slot if output_slot < count else 0
    given = node.outputs[output_slot].type if output_slot < len(node.outputs) else "*"
    if output_slot < count:
        beside = node.inputs[output_slot].type
        if fits(beside, given) and fits(beside, wanted):
            return output_slot
    types = [slot.type for slot in node.inputs]
    exact = next((at for at, kind in enumerate(types) if kind == wanted), None)
    return exact if exact is not None else _first_fitting(types, wanted)


def _first_fitting(types: Sequence[Any], wanted: Any) -> int | None:
    return next((at for at, kind in enumerate(types) if fits(kind, wanted)), None)
