"""A picture as PNG through Pillow, with the workflow in it, so that editors open the file itself.

Pillow's own font has no Chinese, Japanese or Korean letters; those appear as boxes. SVG has no such limit.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from noderack_host.workflow.errors import WorkflowError
from noderack_host.workflow.picture import Box, Curve, Dot, Picture, Shape, Text
from noderack_host.workflow.svg import bend

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

MAX_PIXELS = 40_000_000
_STEPS = 24


def png(picture: Picture, texts: Mapping[str, str]) -> bytes:
    """The PNG file, with `texts` as text chunks. Large graphs are scaled down to MAX_PIXELS."""
    try:
        from PIL import Image, ImageDraw
        from PIL.PngImagePlugin import PngInfo
    except ImportError as cause:
        raise WorkflowError("a PNG needs Pillow: install noderack[host], or draw an SVG") from cause
    width, height = (max(side, 1.0) for side in picture.size)
    scale = min(1.0, (MAX_PIXELS / (width * height)) ** 0.5)
    image = Image.new("RGB", (max(int(width * scale), 1), max(int(height * scale), 1)), "#1e1e1e")
    pen = ImageDraw.Draw(image, "RGBA")
    for shape in picture.shapes:
        _draw(pen, shape, scale)
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=info)
    return out.getvalue()


def _draw(pen: ImageDraw, shape: Shape, scale: float) -> None:
    if isinstance(shape, Box):
        (x, y), (w, h) = shape.at, shape.size
        corners = (x * scale, y * scale, (x + max(w, 1)) * scale, (y + max(h, 1)) * scale)
        fill = shape.fill + "59" if shape.faint and len(shape.fill) == 7 else shape.fill
        pen.rounded_rectangle(corners, shape.radius * scale, fill, shape.stroke)
    elif isinstance(shape, Curve):
        pen.line(
            [(x * scale, y * scale) for x, y in _points(shape)], shape.stroke, max(1, round(2.5 * scale))
        )
    elif isinstance(shape, Dot):
        (x, y), r = shape.at, 4.5
        pen.ellipse(((x - r) * scale, (y - r) * scale, (x + r) * scale, (y + r) * scale), shape.fill)
    else:
        _text(pen, shape, scale)


def _text(pen: ImageDraw, shape: Text, scale: float) -> None:
    size = shape.size * scale
    if size >= 4:
        anchor = "rs" if shape.right else "ls"
        place = (shape.at[0] * scale, shape.at[1] * scale)
        printable = shape.text.encode("utf-8", "replace").decode("utf-8")
        pen.text(place, printable, shape.fill, _font(round(size)), anchor=anchor)


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _points(curve: Curve) -> list[tuple[float, float]]:
    """The curve as short straight lines."""
    (x1, y1), (x2, y2) = curve.start, curve.end
    reach = bend(curve)
    points = []
    for step in range(_STEPS + 1):
        t = step / _STEPS
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        points.append((a * x1 + b * (x1 + reach) + c * (x2 - reach) + d * x2, (a + b) * y1 + (c + d) * y2))
    return points
