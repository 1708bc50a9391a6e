"""A node type drawn as an editor shows it: title, sockets left and right, widgets with their defaults."""

from __future__ import annotations

from noderack_site.data import Raw
from noderack_site.sockets import Field, colour_class, fields, output_names, output_types
from noderack_site.svg import box, fitted, jack, label, picture

_ROW, _HEAD, _EDGE, _WIDTH = 24, 34, 8, 288
_MAX_ROWS = 40


def draw_node(name: str, entry: Raw) -> str:
    """The SVG element. Long nodes end in a line that says how many inputs are not drawn."""
    inputs = list(fields(entry))
    sockets, widgets = [f for f in inputs if not f.widget], [f for f in inputs if f.widget]
    hidden = max(0, len(sockets) + len(widgets) - _MAX_ROWS)
    sockets, widgets = sockets[:_MAX_ROWS], widgets[: max(0, _MAX_ROWS - len(sockets))]
    outputs = list(zip(output_names(entry), output_types(entry), strict=True))[:_MAX_ROWS]
    rows = max(len(sockets), len(outputs))
    height = _HEAD + 8 + rows * _ROW + len(widgets) * (_ROW + 4) + (_ROW if hidden else 0) + 8
    body = [_frame(name, height)]
    body += [_input(field, number) for number, field in enumerate(sockets)]
    body += [_output(label_, kind, number) for number, (label_, kind) in enumerate(outputs)]
    top = _HEAD + 8 + rows * _ROW
    body += [_widget(field, top + number * (_ROW + 4)) for number, field in enumerate(widgets)]
    if hidden:
        body.append(label(_EDGE + _WIDTH / 2, height - 14, f"and {hidden} more", "n-note", "middle"))
    described = f"The node {name}: {len(inputs)} inputs, {len(outputs)} outputs"
    return picture(_WIDTH + 2 * _EDGE, height, described, "".join(body), "node")


def _frame(name: str, height: float) -> str:
    head = f"M{_EDGE} {_HEAD}V10a9 9 0 0 1 9-9H{_EDGE + _WIDTH - 9}a9 9 0 0 1 9 9V{_HEAD}Z"
    return (
        box(_EDGE, 1, _WIDTH, height - 2, "n-body", 9)
        + f'<path d="{head}" class="n-head"/>'
        + label(_EDGE + 14, 22, fitted(name, _WIDTH - 28, 13.5), "n-title")
    )


def _row_y(number: int) -> float:
    return _HEAD + 8 + number * _ROW + _ROW / 2


def _input(field: Field, number: int) -> str:
    y, css = _row_y(number), colour_class(field.type)
    ring = css + (" hollow" if field.optional else "")
    return jack(_EDGE, y, ring) + label(_EDGE + 14, y + 4, fitted(field.name, _WIDTH / 2 - 18, 12), "n-text")


def _output(name: str, kind: str, number: int) -> str:
    y, right = _row_y(number), _EDGE + _WIDTH
    shown = fitted(name, _WIDTH / 2 - 18, 12)
    return jack(right, y, colour_class(kind)) + label(right - 14, y + 4, shown, "n-text", "end")


def _widget(field: Field, y: float) -> str:
    left, right = _EDGE + 10, _EDGE + _WIDTH - 10
    value = " ".join(field.default.split())
    return (
        box(left, y, right - left, _ROW, "n-slot", 6)
        + label(left + 10, y + 16, fitted(field.name, 130, 12), "n-dim")
        + label(right - 10, y + 16, fitted(value, 112, 11.5), "n-value", "end")
    )
