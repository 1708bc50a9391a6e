"""Where to put nodes: layers from left to right along the links, each ordered so that few links cross."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

GAP_X, GAP_Y = 80.0, 40.0
_SWEEPS = 4

Size = tuple[float, float]
Edge = tuple[str, str]


def layers(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The layer of each node: one more than the furthest of those before it. Circles are cut where met."""
    after: dict[str, list[str]] = {node: [] for node in nodes}
    waiting: dict[str, int] = dict.fromkeys(nodes, 0)
    for origin, target in edges:
        after[origin].append(target)
        waiting[target] += 1
    layer = dict.fromkeys(nodes, 0)
    ready = deque(node for node in nodes if not waiting[node])
    left = dict.fromkeys(nodes)
    while left:
        node = ready.popleft() if ready else next(iter(left))
        if node not in left:
            continue
        del left[node]
        for other in after[node]:
            if other in left:
                layer[other] = max(layer[other], layer[node] + 1)
                waiting[other] -= 1
                if waiting[other] == 0:
                    ready.append(other)
    return layer


def arrange(sizes: Mapping[str, Size], edges: Sequence[Edge]) -> dict[str, tuple[float, float]]:
    """A position for each node (its top left corner), so that none overlap and links run to the right."""
    nodes = list(sizes)
    known = [(a, b) for a, b in edges if a in sizes and b in sizes and a != b]
    layer = layers(nodes, known)
    columns: dict[int, list[str]] = {}
    for node in nodes:
        columns.setdefault(layer[node], []).append(node)
    _untangle(columns, known)
    return _place(columns, sizes)


def _untangle(columns: dict[int, list[str]], edges: Sequence[Edge]) -> None:
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for origin, target in edges:
        after.setdefault(origin, []).append(target)
        before.setdefault(target, []).append(origin)
    for sweep in range(_SWEEPS):
        rank = {node: place for column in columns.values() for place, node in enumerate(column)}
        beside = before if sweep % 2 == 0 else after
        for number in sorted(columns, reverse=bool(sweep % 2)):
            column = columns[number]
            column.sort(key=lambda node: _middle(beside.get(node), rank, rank[node]))
            rank.update({node: place for place, node in enumerate(column)})


def _middle(others: Sequence[str] | None, rank: Mapping[str, int], otherwise: int) -> float:
    return sum(rank[other] for other in others) / len(others) if others else float(otherwise)


def _place(columns: Mapping[int, Sequence[str]], sizes: Mapping[str, Size]) -> dict[str, tuple[float, float]]:
    places: dict[str, tuple[float, float]] = {}
    tallest = max((_height(column, sizes) for column in columns.values()), default=0.0)
    x = 0.0
    for number in sorted(columns):
        y = (tallest - _height(columns[number], sizes)) / 2
        for node in columns[number]:
            places[node] = (x, round(y))
            y += sizes[node][1] + GAP_Y
        x += max(sizes[node][0] for node in columns[number]) + GAP_X
    return places


def _height(column: Sequence[str], sizes: Mapping[str, Size]) -> float:
    return sum(sizes[node][1] + GAP_Y for node in column) - GAP_Y
