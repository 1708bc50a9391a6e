"""Node types that took another's place: prompts that name the old one are run with the new one.

A replacement is data in the wire form of /node_replacements (host contract §3.2): `old_node_id`,
`new_node_id`, `input_mapping` of {"new_id", "old_id"} or {"new_id", "set_value"}, and `output_mapping` of
{"new_idx", "old_idx"}.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from noderack_host.graph import is_link

Replacement = Mapping[str, Any]


def by_old_type(replacements: Iterable[Replacement]) -> dict[str, list[Replacement]]:
    """{old node type: its replacements}, each new type once."""
    found: dict[str, list[Replacement]] = {}
    for one in replacements:
        known = found.setdefault(one["old_node_id"], [])
        if all(other["new_node_id"] != one["new_node_id"] for other in known):
            known.append(one)
    return found


def replaced(
    prompt: Mapping[str, Any], replacements: Iterable[Replacement], nodes: Mapping[str, Any]
) -> dict[str, Any]:
    """The prompt with every node type that is not in `nodes`, and has a replacement that is, replaced."""
    known = by_old_type(replacements)
    chosen: dict[str, Replacement] = {}
    for node_id, node in prompt.items():
        kind = node.get("class_type") if isinstance(node, Mapping) else None
        if isinstance(kind, str) and kind not in nodes:
            usable = next((one for one in known.get(kind, ()) if one["new_node_id"] in nodes), None)
            if usable is not None:
                chosen[node_id] = usable
    if not chosen:
        return dict(prompt)
    return {node_id: _changed(node, chosen.get(node_id), chosen) for node_id, node in prompt.items()}


def _changed(node: Any, own: Replacement | None, chosen: Mapping[str, Replacement]) -> Any:
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    if not isinstance(inputs, Mapping):
        return node
    linked = {name: _relinked(value, chosen) for name, value in inputs.items()}
    if own is None:
        return {**node, "inputs": linked}
    return {
        **node,
        "class_type": own["new_node_id"],
        "inputs": _inputs(linked, own.get("input_mapping") or ()),
    }


def _inputs(inputs: Mapping[str, Any], mapping: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in mapping:
        if "set_value" in one:
            found[one["new_id"]] = one["set_value"]
        elif one.get("old_id") in inputs:
            found[one["new_id"]] = inputs[one["old_id"]]
    return found


def _relinked(value: Any, chosen: Mapping[str, Replacement]) -> Any:
    """A link to a replaced node leads to the slot that took the old one's place."""
    if not is_link(value) or value[0] not in chosen:
        return value
    mapping = chosen[value[0]].get("output_mapping") or ()
    return [value[0], next((one["new_idx"] for one in mapping if one["old_idx"] == value[1]), value[1])]
