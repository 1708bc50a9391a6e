"""Decoding and encoding in tiles, so that memory does not grow with the picture.

Two modes. ``compatible`` does what the reference host does: three tilings (square, wide, tall), each blended
by linear ramps, averaged. ``once`` uses one tiling, a third of the work.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Tile = tuple[int, int]
"""Height and width in cells of the input."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How sizes change on the way through: output = input * up / down."""

    up: int = 1
    down: int = 1

    def of(self, cells: int) -> int:
        """The output's size for ``cells`` of input."""
        return cells * self.up // self.down


def starts(length: int, tile: int, overlap: int) -> Iterator[int]:
    """Where tiles begin along one axis; the last one ends at the end."""
    if length <= tile:
        yield 0
        return
    for place in range(0, length - overlap, tile - overlap):
        yield max(0, min(length - overlap, place))


def tiled(
    run: Callable[[Tensor], Tensor], x: Tensor, tile: Tile, overlap: int, scale: Scale, channels: int
) -> Tensor:
    """``run`` over overlapping tiles of ``x [B, C, h, w]``, blended by linear ramps, on the CPU."""
    height, width = x.shape[-2:]
    rows = []
    for one in torch.split(x, 1):
        total = torch.zeros(1, channels, scale.of(height), scale.of(width))
        weight = torch.zeros_like(total)
        for top in starts(height, tile[0], overlap):
            for left in starts(width, tile[1], overlap):
                top_, left_ = min(top, height), min(left, width)
                part = one[..., top_ : top_ + tile[0], left_ : left_ + tile[1]]
                out = run(part).float().cpu()
                ramp = _ramp(out, scale.of(overlap))
                y, z = scale.of(top_), scale.of(left_)
                total[..., y : y + out.shape[-2], z : z + out.shape[-1]] += out * ramp
                weight[..., y : y + out.shape[-2], z : z + out.shape[-1]] += ramp
        rows.append(total / weight)
    return torch.cat(rows)


def _ramp(like: Tensor, feather: int) -> Tensor:
    """Weights that rise linearly from each edge over ``feather`` pixels."""
    mask = torch.ones_like(like)
    for axis in (-2, -1):
        length = like.shape[axis]
        if feather >= length:
            continue
        for t in range(feather):
            mask.narrow(axis, t, 1).mul_((t + 1) / feather)
            mask.narrow(axis, length - 1 - t, 1).mul_((t + 1) / feather)
    return mask


def tilings(tile: int, *, compatible: bool) -> tuple[Tile, ...]:
    """The tilings whose results are averaged."""
    return ((tile // 2, tile * 2), (tile * 2, tile // 2), (tile, tile)) if compatible else ((tile, tile),)


def averaged(run: Callable[[Tile], Tensor], shapes: tuple[Tile, ...]) -> Tensor:
    """The mean of ``run`` over tilings."""
    first, *rest = (run(shape) for shape in shapes)
    return sum(rest, first) / len(shapes)
