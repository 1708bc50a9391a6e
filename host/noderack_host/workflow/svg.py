"""A picture as SVG text. Colours and texts from files are escaped; nothing in it is active."""

from __future__ import annotations

import re
from html import escape

from noderack_host.workflow.picture import Box, Curve, Dot, Picture, Shape, Text

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg(picture: Picture, metadata: str | None = None) -> str:
    """The SVG file. `metadata` is JSON that editors find when the file is dropped onto them."""
    width, height = (f"{side:.0f}" for side in picture.size)
    held = f"<metadata><![CDATA[{_cdata(metadata)}]]></metadata>\n" if metadata else ""
    body = "\n".join(_shape(shape) for shape in picture.shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif">\n'
        f'{held}<rect width="100%" height="100%" fill="#1e1e1e"/>\n{body}\n</svg>\n'
    )


def _cdata(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text).replace("]]>", "]]]]><![CDATA[>")


def _shape(shape: Shape) -> str:
    if isinstance(shape, Box):
        (x, y), (w, h) = shape.at, shape.size
        faint = ' opacity="0.35"' if shape.faint else ""
        return (
            f'<rect x="{x:g}" y="{y:g}" width="{max(w, 0):g}" height="{max(h, 0):g}" rx="{shape.radius:g}" '
            f'fill="{escape(shape.fill)}" stroke="{escape(shape.stroke)}"{faint}/>'
        )
    if isinstance(shape, Curve):
        (x1, y1), (x2, y2) = shape.start, shape.end
        reach = bend(shape)
        path = f"M{x1:g} {y1:g}C{x1 + reach:g} {y1:g} {x2 - reach:g} {y2:g} {x2:g} {y2:g}"
        return f'<path d="{path}" fill="none" stroke="{shape.stroke}" stroke-width="2.5"/>'
    if isinstance(shape, Dot):
        return f'<circle cx="{shape.at[0]:g}" cy="{shape.at[1]:g}" r="4.5" fill="{shape.fill}"/>'
    return _text(shape)


def bend(curve: Curve) -> float:
    """How far a link runs level before it turns."""
    (x1, y1), (x2, y2) = curve.start, curve.end
    return max(30.0, min(abs(x2 - x1) / 2 + abs(y2 - y1) / 8, 200.0))


def _text(shape: Text) -> str:
    anchor = ' text-anchor="end"' if shape.right else ""
    text = escape(_NOT_XML.sub("\ufffd", shape.text))
    look = f'font-size="{shape.size:g}" fill="{shape.fill}"{anchor}'
    return f'<text x="{shape.at[0]:g}" y="{shape.at[1]:g}" {look}>{text}</text>'
