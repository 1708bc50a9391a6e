"""What does a picture show? Ground, colour, shape and size of its one figure, found from the pixels alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noderack_tiny.draw import COLOURS, SHAPES, Mask, Picture, Plane

_BORDER = 3
_LEAST_CONTRAST = (
    40.0  # RGB distance; the two nearest colours of the palette are more than twice as far apart
)
_LEAST_FIGURE = 30  # pixels
_LEAST_MATCH = 0.6  # intersection over union below which a figure has no name
_BIG_FROM = 37  # pixels, the longer side of the figure's box


@dataclass(frozen=True, slots=True)
class Sight:
    """What was found; `match` is how well the shape fits its outline (intersection over union, 0..1)."""

    shape: str | None
    colour: str | None
    ground: str
    size: str | None
    match: float


def look(picture: Picture) -> Sight:
    """Name what uint8 [H, W, 3] shows. No figure: shape, colour and size are None."""
    pixels = picture.astype(np.float32)
    ground = np.median(_border(pixels), axis=0)
    figure = _figure(np.linalg.norm(pixels - ground, axis=-1))
    if figure.sum() < _LEAST_FIGURE:
        return Sight(None, None, _nearest(ground), None, 0.0)
    shape, match = _shape(figure)
    rows, columns = np.flatnonzero(figure.any(1)), np.flatnonzero(figure.any(0))
    side = max(np.ptp(rows), np.ptp(columns)) + 1
    colour = _nearest(np.median(pixels[figure], axis=0))
    return Sight(shape, colour, _nearest(ground), "big" if side >= _BIG_FROM else "small", match)


def _border(pixels: Plane) -> Plane:
    rim = np.ones(pixels.shape[:2], np.bool_)
    rim[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    return np.asarray(pixels[rim])


def _figure(contrast: Plane) -> Mask:
    strongest = float(np.percentile(contrast, 98))
    return np.asarray(contrast > max(_LEAST_CONTRAST, strongest / 2))


def _shape(figure: Mask) -> tuple[str | None, float]:
    """Stretch each outline to the figure's box and take the one that overlaps it best."""
    rows, columns = np.flatnonzero(figure.any(1)), np.flatnonzero(figure.any(0))
    box = figure[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    v, u = (((np.arange(n, dtype=np.float32) + 0.5) / n * 2 - 1) for n in box.shape)
    overlap = {name: _overlap(box, inside(u[None, :], v[:, None])) for name, inside in SHAPES.items()}
    best = max(overlap, key=overlap.__getitem__)
    squareness = min(box.shape) / max(box.shape)
    match = overlap[best] * min(1.0, squareness / 0.8)
    return (best if match >= _LEAST_MATCH else None), match


def _overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


def _nearest(colour: Plane) -> str:
    return min(COLOURS, key=lambda name: float(np.linalg.norm(colour - np.asarray(COLOURS[name]))))
