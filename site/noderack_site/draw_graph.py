"""A workflow drawn as an editor lays it out: frames, cables in their socket's colour, group areas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from noderack_site.data import Raw
from noderack_site.graph import links_of, nodes_of
from noderack_site.sockets import colour_class
from noderack_site.svg import box, cable, fitted, jack, label, picture

_TITLE, _SLOT, _ROW, _MARGIN = 30.0, 20.0, 24.0, 40.0
_AFTER_A_SEED = ("fixed", "increment", "decrement", "randomize")
_MAX_NODES = 300
_STEP, _WIDEST = 500.0, 12  # classes w-0 to w-12: a wide drawing scrolls before its text gets too small


@dataclass(frozen=True, slots=True)
class _Placed:
    """One node on the canvas; `y` is the top of its title."""

    record: Raw
    x: float
    y: float
    width: float
    height: float

    def socket(self, slot: int, *, output: bool) -> tuple[float, float]:
        return self.x + (self.width if output else 0), self.y + _TITLE + 14 + slot * _SLOT


Widgets: TypeAlias = Mapping[str, Sequence[str]]
"""{node type: names of its widgets, in their order}."""


def draw_graph(
    graph: Raw, title: str, names: Mapping[str, str] | None = None, widgets: Widgets | None = None
) -> str:
    """The SVG element; `names` gives titles for types, such as display names or sub-graph names.

    With `widgets`, nodes show the values that are set in them, under the names that it knows.
    """
    placed = {str(node.get("id")): _place(node, number) for number, node in enumerate(_drawn(graph))}
    if not placed:
        return ""
    areas = [_area(group) for group in graph.get("groups") or () if isinstance(group, dict)]
    boxes = [(p.x, p.y, p.width, p.height) for p in placed.values()] + [a[:4] for a in areas if a]
    left, top = min(b[0] for b in boxes) - _MARGIN, min(b[1] for b in boxes) - _MARGIN
    right, bottom = max(b[0] + b[2] for b in boxes) + _MARGIN, max(b[1] + b[3] for b in boxes) + _MARGIN
    moved = {key: _Placed(p.record, p.x - left, p.y - top, p.width, p.height) for key, p in placed.items()}
    body = [_group(area, left, top) for area in areas if area]
    body += _cables(graph, moved)
    body += [_node(node, names or {}, widgets) for node in moved.values()]
    described = f"{title}: a workflow of {len(moved)} nodes"
    css = f"graph w-{min(_WIDEST, int((right - left) // _STEP))}"
    return picture(right - left, bottom - top, described, "".join(body), css)


def _drawn(graph: Raw) -> Iterable[Any]:
    return nodes_of(graph)[:_MAX_NODES]


def _pair(value: Any, other: tuple[float, float]) -> tuple[float, float]:
    """Positions come as [x, y] and as {"0": x, "1": y}."""
    if isinstance(value, dict):
        value = [value.get("0"), value.get("1")]
    if isinstance(value, list) and len(value) >= 2 and all(isinstance(v, int | float) for v in value[:2]):
        return max(-1e6, min(1e6, float(value[0]))), max(-1e6, min(1e6, float(value[1])))
    return other


def _place(node: Raw, number: int) -> _Placed:
    x, y = _pair(node.get("pos"), (number % 6 * 320.0, number // 6 * 260.0))
    width, height = _pair(node.get("size"), (240.0, 100.0))
    slots = max(len(_slots(node, "inputs")), len(_slots(node, "outputs")))
    if (node.get("flags") or {}).get("collapsed"):
        width, height = 160.0, 0.0
    else:
        width, height = max(width, 140.0), max(height, slots * _SLOT + 8)
    return _Placed(node, x, y - _TITLE, width, height + _TITLE)


def _slots(node: Raw, side: str) -> list[Any]:
    slots = node.get(side)
    return [slot for slot in slots if isinstance(slot, dict)] if isinstance(slots, list) else []


def _area(group: Raw) -> tuple[float, float, float, float, str] | None:
    bounding = group.get("bounding")
    if not isinstance(bounding, list) or len(bounding) != 4:
        return None
    (x, y), (width, height) = _pair(bounding[:2], (0, 0)), _pair(bounding[2:], (0, 0))
    return x, y, abs(width), abs(height), str(group.get("title") or "")


def _group(area: tuple[float, float, float, float, str], left: float, top: float) -> str:
    x, y, width, height, title = area
    frame = box(x - left, y - top, width, height, "g-area", 8)
    return frame + label(x - left + 12, y - top + 26, fitted(title, width - 24, 22), "g-name")


def _cables(graph: Raw, placed: dict[str, _Placed]) -> list[str]:
    drawn = []
    for origin, out_slot, target, in_slot, kind in links_of(graph):
        a, b = placed.get(str(origin)), placed.get(str(target))
        if a and b:
            start, end = a.socket(out_slot, output=True), b.socket(in_slot, output=False)
            drawn.append(cable(*start, *end, colour_class(kind)))
    return drawn


def _node(node: _Placed, names: Mapping[str, str], widgets: Widgets | None) -> str:
    record, radius = node.record, 8
    kind = str(record.get("type", ""))
    title = str(record.get("title") or names.get(kind) or kind)
    css = "n-body off" if record.get("mode") in (2, 4) else "n-body"
    parts = [box(node.x, node.y, node.width, node.height, css, radius)]
    if node.height > _TITLE:
        x, y, right = node.x, node.y, node.x + node.width
        curve = f"V{y + radius:.0f}a8 8 0 0 1 8-8H{right - radius:.0f}a8 8 0 0 1 8 8V{y + _TITLE:.0f}Z"
        parts.append(f'<path d="M{x:.0f} {y + _TITLE:.0f}{curve}" class="n-head"/>')
        parts += _sockets(node)
        if widgets is not None:
            parts += _values(node, widgets.get(kind, ()))
    parts.append(label(node.x + 12, node.y + 20, fitted(title, node.width - 24, 14), "g-title"))
    return "".join(parts)


def _sockets(node: _Placed) -> list[str]:
    drawn = []
    for side, output in (("inputs", False), ("outputs", True)):
        for number, slot in enumerate(_slots(node.record, side)):
            x, y = node.socket(number, output=output)
            name = fitted(str(slot.get("label") or slot.get("name") or ""), node.width / 2 - 20, 12)
            drawn.append(jack(x, y, colour_class(str(slot.get("type"))), 4.5))
            drawn.append(label(x + (-10 if output else 10), y + 4, name, "n-text", "end" if output else ""))
    return drawn


def _values(node: _Placed, names: Sequence[str]) -> Iterator[str]:
    """A row for each value that is set, as many as the node has room for."""
    slots = max(len(_slots(node.record, "inputs")), len(_slots(node.record, "outputs")))
    top, bottom = node.y + _TITLE + 10 + slots * _SLOT, node.y + node.height - 6
    left, width = node.x + 10, node.width - 20
    rows = list(_named(node.record.get("widgets_values"), names))
    for number, (name, value) in enumerate(rows[: int(max(0, bottom - top) // _ROW)]):
        y = top + number * _ROW
        yield box(left, y, width, _ROW - 4, "n-slot", 6)
        if name and width > 130:
            yield label(left + 8, y + 14, fitted(name, width * 0.42, 11), "n-dim")
            yield label(left + width - 8, y + 14, fitted(value, width * 0.48, 11), "n-value", "end")
        else:
            yield label(left + 8, y + 14, fitted(value, width - 16, 11), "n-value")


def _named(values: Any, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, value) of the plain values; the names run along, but for what an editor adds behind a seed."""
    if isinstance(values, dict):
        yield from ((str(k), _shown(v)) for k, v in values.items() if isinstance(v, str | int | float))
        return
    left = list(names)
    for value in values if isinstance(values, list) else ():
        added = value in _AFTER_A_SEED and not (left and left[0].startswith("control"))
        name = "" if added or not left else left.pop(0)
        if isinstance(value, str | int | float):
            yield name, _shown(value)


def _shown(value: str | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else " ".join(str(value)[:200].split())
