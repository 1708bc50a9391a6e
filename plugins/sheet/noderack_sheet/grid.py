"""Pictures to a sheet: cells, labels, gaps. Images are tensors [H, W, 3] of values 0 to 1."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from noderack_lettering import draw, fit, measure
from torch import Tensor

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie on a sheet, in pixels."""

    columns: int
    rows: int
    cell: tuple[int, int]  # width, height of a picture
    gap: int
    margin: int
    label: int  # height of the strip under each picture
    title: int  # height of the strip at the top

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        width = 2 * self.margin + self.columns * self.cell[0] + (self.columns - 1) * self.gap
        height = self.rows * (self.cell[1] + self.label) + (self.rows - 1) * self.gap
        return width, height + 2 * self.margin + self.title

    def corner(self, index: int) -> tuple[int, int]:
        """Where picture number `index`, counted from 0, begins: x and y."""
        row, column = divmod(index, self.columns)
        x = self.margin + column * (self.cell[0] + self.gap)
        return x, self.margin + self.title + row * (self.cell[1] + self.label + self.gap)


def columns_for(count: int, wanted: int) -> int:
    """`wanted` columns, or for 0 as many as make the sheet as square as it gets; never more than pictures."""
    return max(1, min(count, wanted or math.ceil(math.sqrt(count))))


def colour_of(text: str) -> Colour:
    """`#rrggbb` or `#rgb` as three numbers 0 to 1; raises ValueError."""
    digits = text.strip().removeprefix("#")
    digits = "".join(d * 2 for d in digits) if len(digits) == 3 else digits
    try:
        if len(digits) != 6:
            raise ValueError
        red, green, blue = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    except ValueError:
        raise ValueError(f"{text!r} is not a colour: write it as #rrggbb, such as #1a1a1a") from None
    return red, green, blue


def ink_for(ground: Colour) -> Colour:
    """Black or white, whichever reads better on `ground`."""
    brightness = 0.2126 * ground[0] + 0.7152 * ground[1] + 0.0722 * ground[2]
    return (0.0, 0.0, 0.0) if brightness > 0.5 else (1.0, 1.0, 1.0)


def labels_for(text: str, count: int) -> list[str]:
    """One label a picture: the lines of `text`, or its only line for all when that counts with `{n}`."""
    lines = text.splitlines()
    if len(lines) == 1 and "{n}" in text:
        lines = lines * count
    lines += [""] * (count - len(lines))
    return [line.replace("{n}", str(number)) for number, line in enumerate(lines[:count], 1)]


def strip_height(size: int) -> int:
    """Height of a line of text with some air around it."""
    return measure("x", size=size)[1] + max(4, size // 3)


def fitted(image: Tensor, width: int, height: int, ground: Colour) -> Tensor:
    """The picture scaled to lie in the middle of width × height; itself if it has that size."""
    rows, columns, _ = image.shape
    if (columns, rows) == (width, height):
        return image
    scale = min(width / columns, height / rows)
    size = max(1, round(rows * scale)), max(1, round(columns * scale))
    scaled = F.interpolate(image.permute(2, 0, 1)[None], size=size, mode="bilinear", antialias=True)
    cell = plain(width, height, ground, image)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    cell[top : top + size[0], left : left + size[1]] = scaled[0].permute(1, 2, 0).clamp(0, 1)
    return cell


def plain(width: int, height: int, colour: Colour, like: Tensor) -> Tensor:
    """A picture of one colour."""
    return like.new_tensor(colour).expand(height, width, 3).clone()


def write(sheet: Tensor, text: str, box: tuple[int, int, int, int], size: int, ink: Colour) -> Tensor:
    """`text` in the middle of a box (x, y, width, height), cut to its width."""
    x, y, width, height = box
    shown = fit(text, width, size=size)
    taken = measure(shown, size=size)
    return draw(
        sheet, shown, x=x + (width - taken[0]) // 2, y=y + (height - taken[1]) // 2, size=size, colour=ink
    )


def contact_sheet(
    images: Sequence[Tensor],
    *,
    columns: int,
    gap: int,
    margin: int,
    labels: Sequence[str],
    title: str,
    text_size: int,
    ground: Colour,
) -> Tensor:
    """All pictures on one sheet, row by row."""
    width, height = max(i.shape[1] for i in images), max(i.shape[0] for i in images)
    across = columns_for(len(images), columns)
    layout = Layout(
        columns=across,
        rows=math.ceil(len(images) / across),
        cell=(width, height),
        gap=gap,
        margin=margin,
        label=strip_height(text_size) if any(labels) else 0,
        title=strip_height(text_size * 3 // 2) if title else 0,
    )
    ink = ink_for(ground)
    sheet = plain(*layout.size, ground, images[0])
    for index, image in enumerate(images):
        x, y = layout.corner(index)
        sheet[y : y + height, x : x + width] = fitted(image[..., :3], width, height, ground)
        if labels[index]:
            sheet = write(sheet, labels[index], (x, y + height, width, layout.label), text_size, ink)
    if title:
        box = (margin, margin, layout.size[0] - 2 * margin, layout.title)
        sheet = write(sheet, title, box, text_size * 3 // 2, ink)
    return sheet


def side_by_side(first: Tensor, second: Tensor, *, stacked: bool, line: int, ground: Colour) -> Tensor:
    """Two pictures, the second scaled to the first one's height (or width, when stacked)."""
    rows, columns, _ = first.shape
    other_rows, other_columns, _ = second.shape
    if stacked:
        size = columns, max(1, round(other_rows * columns / other_columns))
        between = plain(columns, line, ground, first)
    else:
        size = max(1, round(other_columns * rows / other_rows)), rows
        between = plain(line, rows, ground, first)
    parts = [first[..., :3], between, fitted(second[..., :3], *size, ground)]
    return torch.cat(parts, dim=0 if stacked else 1)


def labelled(image: Tensor, text: str, *, place: str, size: int, ground: Colour) -> Tensor:
    """A picture with a line of text `above`, `below` (in a strip of its own) or `on` it, at the bottom."""
    width, strip = image.shape[1], strip_height(size)
    if place == "on":
        white = (1.0, 1.0, 1.0)
        shown = fit(text, width - size, size=size)
        return draw(image, shown, x=size // 2, y=image.shape[0] - strip, size=size, colour=white, shadow=True)
    band = write(plain(width, strip, ground, image), text, (0, 0, width, strip), size, ink_for(ground))
    rgb = image[..., :3]
    return torch.cat([band, rgb] if place == "above" else [rgb, band], dim=0)
