"""One picture of all pictures of a batch, with what made each of them below it."""

from collections.abc import Sequence
from pathlib import Path

_SIDE = 256
_CAPTION = 36
_GAP = 8
_PAPER, _INK = (24, 24, 26), (220, 220, 220)


def contact_sheet(pictures: Sequence[tuple[Path, str]], file: Path, columns: int | None = None) -> Path:
    """Writes a PNG with each picture (path, caption) in a grid, in their order; gives its path.

    columns: as many as make the grid about square, unless said. Needs Pillow.
    """
    from PIL import Image, ImageDraw

    count = len(pictures)
    across = columns or max(1, round(count**0.5 + 0.49))
    down = -(-count // across)
    cell = (_SIDE + _GAP, _SIDE + _CAPTION + _GAP)
    sheet = Image.new("RGB", (across * cell[0] + _GAP, down * cell[1] + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for at, (path, caption) in enumerate(pictures):
        left, top = at % across * cell[0] + _GAP, at // across * cell[1] + _GAP
        with Image.open(path) as picture:
            small = picture.convert("RGB")
        small.thumbnail((_SIDE, _SIDE))
        sheet.paste(small, (left + (_SIDE - small.width) // 2, top + (_SIDE - small.height) // 2))
        draw.multiline_text((left, top + _SIDE + 2), _lines(caption), fill=_INK)
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file)
    return file


def _lines(caption: str, width: int = 42) -> str:
    return "\n".join(caption[at : at + width] for at in range(0, len(caption), width))[: 2 * width + 1]
