"""Nodes that exist only in the browser: no host runs them, no pack brings them as a class."""

from __future__ import annotations

CORE_VIRTUAL = frozenset(("Reroute", "PrimitiveNode", "Note", "MarkdownNote"))

PASS_THROUGH = frozenset(("Reroute", "Reroute (rgthree)"))
"""Their output is what their first input gets."""

SETTERS = frozenset(("SetNode", "easy setNode"))
GETTERS = frozenset(("GetNode", "easy getNode"))

PACK_VIRTUAL = frozenset(
    (
        *SETTERS,
        *GETTERS,
        *("Reroute (rgthree)", "Node Combiner (rgthree)", "Node Collector (rgthree)", "Label (rgthree)"),
        *("Fast Muter (rgthree)", "Fast Bypasser (rgthree)", "Fast Actions Button (rgthree)"),
        *("Fast Groups Muter (rgthree)", "Fast Groups Bypasser (rgthree)", "Bookmark (rgthree)"),
        *("Mute / Bypass Repeater (rgthree)", "Mute / Bypass Relay (rgthree)", "Random Unmuter (rgthree)"),
        *("Text box", "Note Plus (mtb)"),
    )
)


def is_virtual(node_type: str) -> bool:
    return node_type in CORE_VIRTUAL or node_type in PACK_VIRTUAL
