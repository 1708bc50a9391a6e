"""Expansion: a node gives a sub-graph instead of values, and links into it as its result."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from noderack_host.cache import Inside, Shown
from noderack_host.call import Returned, resolve
from noderack_host.graph import DynamicPrompt, is_link
from noderack_host.work import Work


@dataclass(frozen=True, slots=True)
class Added:
    """The new nodes' ids, and the links that the result holds."""

    nodes: tuple[str, ...]
    links: tuple[list[Any], ...]


def add_nodes(graph: DynamicPrompt, parent: str, returned: Sequence[Returned]) -> Added:
    """Puts the nodes of every call's sub-graph into the graph; raises DuplicateNode."""
    nodes: list[str] = []
    links: list[list[Any]] = []
    for call in returned:
        if call.expand is None:
            continue
        for node_id, node in call.expand.items():
            graph.add_ephemeral_node(node_id, node, parent, node.get("override_display_id") or parent)
            nodes.append(node_id)
        links += [item for item in call.result or () if is_link(item)]
    return Added(tuple(nodes), tuple(links))


def resolved(work: Work, returned: Sequence[Returned]) -> list[tuple[Any, ...]]:
    """The outputs of each call of an expanded node, once what they link to is done."""
    sources = {link.source.id: link.source for link in work.links}

    def value_of(node_id: str, slot: int) -> list[Any] | None:
        outputs = sources[node_id].outputs
        return outputs[slot] if outputs is not None and slot < len(outputs) else None

    return [
        found
        for call in returned
        if (found := call.result if call.expand is None else resolve(call, work.contract, value_of))
        is not None
    ]


def shown_inside(work: Work, graph: DynamicPrompt) -> Inside:
    """What the output nodes inside an expansion showed; what inner expansions showed is nested in it."""
    found: list[Any] = []
    for inner in work.inner or ():
        if inner.ui:
            found.append(Shown(inner.id, graph.get_display_node_id(inner.id), inner.ui))
        if inner.inside:
            found.append(inner.inside)
    return tuple(found)


def flat(inside: Inside) -> Iterator[Shown]:
    """Every Shown in a nested record, in order, however deep."""
    stack = [iter(inside)]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, Shown):
            yield item
        else:
            stack.append(iter(item))
