"""A graph as a picture made of few shapes, before any file format: boxes, texts, curves and dots."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noderack_host.workflow.graph import (
    BYPASS,
    NEVER,
    Document,
    Graph,
    Node,
    mapping,
    read_document,
    sequence,
)

if TYPE_CHECKING:
    from noderack_host.schema import NodeSchema
    from noderack_host.workflow.model import Workflow

Point = tuple[float, float]
TITLE, ROW, MARGIN = 30.0, 20.0, 40.0
_MAX_SIDE = 1e6

# Link colours by socket type, near to what editors show.
COLOURS: Mapping[str, str] = {
    "MODEL": "#b39ddb",
    "CLIP": "#ffd500",
    "VAE": "#ff6e6e",
    "CONDITIONING": "#ffa931",
    "LATENT": "#ff9cf9",
    "IMAGE": "#64b5f6",
    "MASK": "#81c784",
    "CONTROL_NET": "#6ee7b7",
    "CLIP_VISION": "#a8dadc",
    "INT": "#29699c",
    "FLOAT": "#6bb86b",
    "STRING": "#77ff77",
}
_OTHER = "#9aa0a6"


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle; `faint` for muted nodes and group backgrounds."""

    at: Point
    size: Point
    fill: str
    stroke: str = "#111111"
    radius: float = 6.0
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text; `at` is the left (or right) end of its base line."""

    at: Point
    text: str
    size: float = 12.0
    fill: str = "#dddddd"
    right: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """A link from an output to an input, leaving and arriving level."""

    start: Point
    end: Point
    stroke: str


@dataclass(frozen=True, slots=True)
class Dot:
    at: Point
    fill: str


Shape = Box | Text | Curve | Dot


@dataclass(frozen=True, slots=True)
class Picture:
    """Shapes in drawing order, moved so that the picture begins at (0, 0)."""

    size: Point
    shapes: tuple[Shape, ...]


def picture_of(workflow: Workflow, schemas: Mapping[str, NodeSchema]) -> Picture:
    """The root graph as drawn by its author; a prompt without one is laid out first."""
    if workflow.ui is not None:
        document = workflow.document()
    else:
        from noderack_host.workflow.layout import to_ui

        document = read_document(to_ui(workflow.api or {}, schemas).ui)
    boxes = {node.id: _frame(node) for node in document.root.nodes.values()}
    left, top, right, bottom = _bounds(boxes, _groups(document.root))
    pen = _Pen(document, boxes, (MARGIN - left, MARGIN - top))
    shapes = (*pen.groups(), *pen.links(), *pen.nodes())
    return Picture((right - left + 2 * MARGIN, bottom - top + 2 * MARGIN), shapes)


def _number(value: Any, otherwise: float) -> float:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _MAX_SIDE
    return float(value) if usable else otherwise


def _pair(value: Any, otherwise: Point) -> Point:
    """A position or a size: a list, or an object with the keys "0" and "1"."""
    if isinstance(value, Mapping):
        value = [value.get("0"), value.get("1")]
    if not isinstance(value, list) or len(value) < 2:
        return otherwise
    return _number(value[0], otherwise[0]), _number(value[1], otherwise[1])


def _frame(node: Node) -> tuple[Point, Point]:
    """Top left corner of the title bar, and the size with it."""
    x, y = _pair(node.raw.get("pos"), (0.0, 0.0))
    width, height = _pair(node.raw.get("size"), (210.0, 60.0))
    if mapping(node.raw.get("flags")).get("collapsed"):
        width, height = min(width, 160.0), 0.0
    rows = max(len(_sockets(node)), len(node.outputs)) if height else 0
    return (x, y - TITLE), (max(width, 60.0), max(height, rows * ROW) + TITLE)


def _groups(graph: Graph) -> Iterator[tuple[Point, Point, str, str]]:
    for raw in sequence(graph.raw.get("groups")):
        group = mapping(raw)
        bounding = group.get("bounding")
        if isinstance(bounding, list) and len(bounding) == 4:
            x, y, w, h = (_number(part, 0.0) for part in bounding)
            colour = group.get("color")
            yield (
                (x, y),
                (w, h),
                str(group.get("title") or ""),
                str(colour) if is_colour(colour) else "#335577",
            )


def is_colour(value: Any) -> bool:
    """Whether a text is a plain hex colour; nothing else from a file goes into a picture."""
    return isinstance(value, str) and value[:1] == "#" and len(value) in (4, 7) and value[1:].isalnum()


def _bounds(
    boxes: Mapping[str, tuple[Point, Point]], groups: Iterator[tuple[Point, Point, str, str]]
) -> tuple[float, float, float, float]:
    frames = [*boxes.values(), *((at, size) for at, size, _, _ in groups)] or [((0.0, 0.0), (100.0, 50.0))]
    return (
        min(x for (x, _), _ in frames),
        min(y for (_, y), _ in frames),
        max(x + w for (x, _), (w, _) in frames),
        max(y + h for (_, y), (_, h) in frames),
    )


def _sockets(node: Node) -> list[int]:
    """Input slots that are drawn: sockets, and widgets that a link feeds."""
    return [at for at, slot in enumerate(node.inputs) if slot.widget is None or slot.link is not None]


def colour_of(kind: Any) -> str:
    return COLOURS.get(kind, _OTHER) if isinstance(kind, str) else _OTHER


def shorten(text: str, width: float, size: float = 12.0) -> str:
    """As much of one line as fits, by rough letter widths; wide scripts count double."""
    room = width / (size * 0.56)
    for at, char in enumerate(text):
        room -= 1.8 if unicodedata.east_asian_width(char) in "WF" else 1.0
        if room < 0:
            return text[: max(at - 1, 0)] + "…"
    return text


@dataclass(frozen=True, slots=True)
class _Pen:
    document: Document
    boxes: Mapping[str, tuple[Point, Point]]
    shift: Point

    def _moved(self, x: float, y: float) -> Point:
        return round(x + self.shift[0], 1), round(y + self.shift[1], 1)

    def groups(self) -> Iterator[Shape]:
        for (x, y), size, title, colour in _groups(self.document.root):
            yield Box(self._moved(x, y), size, colour, colour, 4.0, faint=True)
            yield Text(self._moved(x + 8, y + 24), shorten(title, size[0] - 16, 20), 20, "#cccccc")

    def links(self) -> Iterator[Shape]:
        graph = self.document.root
        for node in graph.nodes.values():
            for row, at in enumerate(_sockets(node)):
                link = graph.links.get(node.inputs[at].link or "")
                origin = graph.nodes.get(link.origin) if link else None
                if link and origin:
                    start = self._socket(origin, link.origin_slot, right=True)
                    yield Curve(start, self._socket(node, row, right=False), colour_of(link.type))

    def _socket(self, node: Node, row: int, *, right: bool) -> Point:
        (x, y), (width, height) = self.boxes[node.id]
        down = TITLE + ROW * (row + 0.5) if height > TITLE else TITLE / 2
        return self._moved(x + width if right else x, y + min(down, height))

    def nodes(self) -> Iterator[Shape]:
        for node in self.document.root.nodes.values():
            yield from self._node(node)

    def _node(self, node: Node) -> Iterator[Shape]:
        (x, y), (width, height) = self.boxes[node.id]
        colour = node.raw.get("bgcolor")
        fill = colour if is_colour(colour) else "#353535"
        if node.mode == BYPASS:
            fill = "#6b3a8a"
        yield Box(self._moved(x, y), (width, height), str(fill), faint=node.mode == NEVER)
        yield Box(self._moved(x, y), (width, TITLE), "#2a2a2a", faint=node.mode == NEVER)
        yield Text(self._moved(x + 10, y + 20), shorten(self._title(node), width - 20, 14), 14, "#eeeeee")
        if height > TITLE:
            yield from self._inside(node, width)

    def _title(self, node: Node) -> str:
        body = self.document.definitions.get(node.type)
        return node.title or (body.name if body and body.name else node.type)

    def _inside(self, node: Node, width: float) -> Iterator[Shape]:
        sockets = _sockets(node)
        for row, at in enumerate(sockets):
            (sx, sy), slot = self._socket(node, row, right=False), node.inputs[at]
            yield Dot((sx, sy), colour_of(slot.type))
            yield Text((sx + 10, sy + 4), shorten(slot.name, width / 2 - 14))
        for row, output in enumerate(node.outputs):
            sx, sy = self._socket(node, row, right=True)
            yield Dot((sx, sy), colour_of(output.type))
            yield Text((sx - 10, sy + 4), shorten(output.name, width / 2 - 14), right=True)
        yield from self._values(node, width, max(len(sockets), len(node.outputs)))

    def _values(self, node: Node, width: float, used: int) -> Iterator[Shape]:
        (x, y), (_, height) = self.boxes[node.id]
        rows = int((height - TITLE) / ROW) - used
        values = node.values.values() if isinstance(node.values, Mapping) else node.values or ()
        lines = [line for value in values for line in _lines(value)]
        for row, line in enumerate(lines[: max(rows, 0)]):
            place = self._moved(x + 14, y + TITLE + ROW * (used + row) + 14)
            yield Text(place, shorten(line, width - 28, 11), 11, "#a9c7a9")


def _lines(value: Any) -> list[str]:
    if value is None or isinstance(value, (list, dict)):
        return []
    return str(value)[:2000].splitlines()[:12]
