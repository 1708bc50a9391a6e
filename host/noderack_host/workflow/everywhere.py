"""Links that are not drawn: nodes of the "use everywhere" pack send to every open input that matches.

Newer files list these links ready made (`extra.ue_links`). For older ones the pack's rule is applied: an open
socket of the same type, on a running node that does not feed the sender; a rule with patterns goes before
one without, and two senders of the same rank leave an input open, as in the editor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from noderack_host.workflow.graph import Graph, Link, Node, index_of, key_of, mapping, sequence
from noderack_host.workflow.virtual import is_virtual

_SENDERS = {
    "Anything Everywhere?": 3,
    "Seed Everywhere": 2,
    "Prompts Everywhere": 2,
    "Anything Everywhere": 1,
}
_SENDERS["Anything Everywhere3"] = 1
_POSITIVE, _NEGATIVE, _SEED = r"(_|\b)pos(itive|_|\b)|^prompt", r"(_|\b)neg(ative|_|\b)", r"seed|随机种"
_LONGEST, _MOST_QUANTIFIERS = 120, 3

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Sender:
    """What one broadcast sends, to which titles and input names, and how it ranks against others."""

    link: Link
    rank: int
    title: str = ""
    name: str = ""

    def suits(self, node: Node, name: str) -> bool:
        return _matches(self.title, node.title or node.type) and _matches(self.name, name)


def broadcast(graph: Graph) -> dict[Place, Link]:
    """Undrawn links by (node id, input slot)."""
    listed = sequence(mapping(graph.raw.get("extra")).get("ue_links"))
    if listed:
        return dict(_recorded(listed))
    senders = [s for node in graph.nodes.values() if node.type in _SENDERS for s in _senders(node, graph)]
    return dict(_sent(graph, senders)) if senders else {}


def _recorded(listed: object) -> Iterator[tuple[Place, Link]]:
    for raw in sequence(listed):
        entry = mapping(raw)
        origin, target = key_of(entry.get("upstream")), key_of(entry.get("downstream"))
        out, into = index_of(entry.get("upstream_slot")), index_of(entry.get("downstream_slot"))
        if origin is not None and target is not None and out is not None and into is not None:
            yield (target, into), Link(origin, out, target, into, entry.get("type", "*"))


def _senders(node: Node, graph: Graph) -> Iterator[_Sender]:
    if not node.active:
        return
    rank = _SENDERS[node.type]
    if node.type == "Seed Everywhere":
        yield _Sender(Link(node.id, 0, "", 0, "INT"), rank, name=_SEED)
        return
    patterns = [value if isinstance(value, str) else "" for value in sequence(node.values)[:2]]
    for at, slot in enumerate(node.inputs):
        link = graph.links.get(slot.link or "")
        if link is None or slot.widget is not None:
            continue
        sent = Link(link.origin, link.origin_slot, "", 0, _type(graph, link))
        if node.type == "Prompts Everywhere":
            yield _Sender(sent, rank, name=(_POSITIVE, _NEGATIVE)[at] if at < 2 else "$^")
        elif node.type == "Anything Everywhere?":
            yield _Sender(sent, rank, *patterns)
        else:
            yield _Sender(sent, rank)


def _type(graph: Graph, link: Link) -> object:
    origin = graph.nodes.get(link.origin)
    known = origin is not None and link.origin_slot < len(origin.outputs)
    return origin.outputs[link.origin_slot].type if known and origin is not None else link.type


def _sent(graph: Graph, senders: list[_Sender]) -> Iterator[tuple[Place, Link]]:
    feeding = [(sender, _upstream(graph, sender.link.origin)) for sender in senders]
    for node in graph.nodes.values():
        if not node.active or is_virtual(node.type) or node.type in _SENDERS:
            continue
        for at, slot in enumerate(node.inputs):
            open_socket = slot.link is None and (slot.widget is None or _converted(node, at))
            if not open_socket:
                continue
            fit = [s for s, above in feeding if s.link.type == slot.type and node.id not in above]
            fit = [s for s in fit if s.suits(node, slot.name)]
            best = [s for s in fit if s.rank == max(other.rank for other in fit)]
            if len(best) == 1:
                yield (node.id, at), best[0].link


def _converted(node: Node, at: int) -> bool:
    """Whether a widget was made a socket; only older files keep its `config`."""
    return "config" in mapping(mapping(sequence(node.raw.get("inputs"))[at]).get("widget"))


def _upstream(graph: Graph, start: str) -> set[str]:
    """A node and all that feeds it."""
    found, waiting = set[str](), [start]
    while waiting:
        node = graph.nodes.get(waiting.pop())
        if node is None or node.id in found:
            continue
        found.add(node.id)
        links = (graph.links.get(slot.link) for slot in node.inputs if slot.link is not None)
        waiting.extend(link.origin for link in links if link is not None)
    return found


def _matches(pattern: str, text: str) -> bool:
    """Whether a file's pattern is found in a text. Patterns that could run long match nothing."""
    if not pattern:
        return True
    if len(pattern) > _LONGEST or sum(pattern.count(sign) for sign in "*+{") > _MOST_QUANTIFIERS:
        return False
    if re.search(r"[)\]][*+{]", pattern):
        return False
    try:
        return re.search(pattern, text[:_LONGEST]) is not None
    except (re.error, OverflowError):
        return False
