"""Links that are not drawn: "use everywhere" broadcasts, as their pack records them in the file."""

from __future__ import annotations

from noderack_host.workflow.graph import Graph, Link, index_of, key_of, mapping, sequence


def broadcast(graph: Graph) -> dict[tuple[str, int], Link]:
    """Links by (node id, input slot) from `extra.ue_links`, which newer files carry ready made."""
    found: dict[tuple[str, int], Link] = {}
    for raw in sequence(mapping(graph.raw.get("extra")).get("ue_links")):
        entry = mapping(raw)
        origin, target = key_of(entry.get("upstream")), key_of(entry.get("downstream"))
        slots = index_of(entry.get("upstream_slot")), index_of(entry.get("downstream_slot"))
        if origin is not None and target is not None and slots[0] is not None and slots[1] is not None:
            found[(target, slots[1])] = Link(origin, slots[0], target, slots[1], entry.get("type", "*"))
    return found
