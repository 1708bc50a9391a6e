"""Text to coverage, coverage to pixels. Pillow sets the type; everything after that is tensors."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour = tuple[float, float, float]
ELLIPSIS = "..."


@lru_cache(maxsize=32)
def _font(size: int, path: Path | None) -> Font:
    return ImageFont.truetype(str(path), size) if path else ImageFont.load_default(size)


def _line_height(size: int) -> int:
    return max(1, round(size * 1.25))


def measure(text: str, *, size: int = 16, font: Path | None = None) -> tuple[int, int]:
    """Width and height in pixels that `text` takes, all its lines counted."""
    lines = text.split("\n")
    width = max(round(_font(size, font).getlength(line)) for line in lines)
    return width, _line_height(size) * len(lines)


def fit(text: str, limit: int, *, size: int = 16, font: Path | None = None) -> str:
    """`text` with each line that is wider than `limit` pixels cut and ended with an ellipsis."""
    return "\n".join(_fit_line(line, limit, size, font) for line in text.split("\n"))


def _fit_line(line: str, limit: int, size: int, font: Path | None) -> str:
    if measure(line, size=size, font=font)[0] <= limit:
        return line
    low, high = 0, len(line)
    while low < high:  # the longest beginning that still fits, found by halving
        middle = (low + high + 1) // 2
        if measure(line[:middle].rstrip() + ELLIPSIS, size=size, font=font)[0] <= limit:
            low = middle
        else:
            high = middle - 1
    return line[:low].rstrip() + ELLIPSIS if low else ""


def render(text: str, *, size: int = 16, font: Path | None = None, align: str = "left") -> Tensor:
    """How much of each pixel the letters cover: [H, W], 0 to 1. `align`: left, center, right."""
    width, height = measure(text, size=size, font=font)
    sheet = Image.new("L", (max(1, width), height), 0)
    pen = ImageDraw.Draw(sheet)
    for row, line in enumerate(text.split("\n")):
        free = width - measure(line, size=size, font=font)[0]
        x = {"left": 0, "center": free // 2, "right": free}[align]
        pen.text((x, row * _line_height(size)), line, fill=255, font=_font(size, font))
    return torch.from_numpy(np.array(sheet, dtype=np.float32) / 255.0)


def draw(
    image: Tensor,
    text: str,
    *,
    x: int = 0,
    y: int = 0,
    size: int = 16,
    colour: Colour = (1.0, 1.0, 1.0),
    shadow: bool = False,
    align: str = "left",
    limit: int | None = None,
    font: Path | None = None,
) -> Tensor:
    """A copy of `image` [H, W, 3 or 4] with `text` from (x, y) right and down; what falls outside is cut.

    `shadow` puts a dark edge under the letters, to be read on any ground; `limit` is the widest line.
    """
    shown = text if limit is None else fit(text, limit, size=size, font=font)
    coverage = render(shown, size=size, font=font, align=align).to(image.device, image.dtype)
    result = image.clone()
    if shadow:
        offset = max(1, size // 12)
        _lay(result, coverage, x + offset, y + offset, (0.0, 0.0, 0.0))
    _lay(result, coverage, x, y, colour)
    return result


def _lay(image: Tensor, coverage: Tensor, x: int, y: int, colour: Colour) -> None:
    """Mixes `colour` into `image`, in place, where the letters are and the picture is."""
    top, left = max(0, y), max(0, x)
    bottom = min(image.shape[0], y + coverage.shape[0])
    right = min(image.shape[1], x + coverage.shape[1])
    if bottom <= top or right <= left:
        return
    part = coverage[top - y : bottom - y, left - x : right - x, None]
    ground = image[top:bottom, left:right, :3]
    image[top:bottom, left:right, :3] = torch.lerp(ground, ground.new_tensor(colour).expand_as(ground), part)
    if image.shape[-1] > 3:
        image[top:bottom, left:right, 3:] = torch.maximum(image[top:bottom, left:right, 3:], part)
