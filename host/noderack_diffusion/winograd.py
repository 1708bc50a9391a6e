"""Convolutions of 3 x 3 with a quarter of the multiplications, after Winograd.

A tile of 4 x 4 pixels comes of 6 x 6 around it. Seen as polynomials whose values at six points are taken,
both those and the nine weights become 36 numbers each; these are multiplied, for all channels at once, and
16 pixels are read back from them: 36 products in place of 144. The changes of form are small matrices.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015). The points are 0, 1, -1,
1/2, -2 and infinity, of different sizes and signs, so that little is lost when values are added (Barabasz et
al., Error Analysis and Improving the Accuracy of Winograd Convolution, 2018): the results are as near to the
exact ones as those of kernels that add up all products.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from noderack_diffusion.allocation import room
from noderack_diffusion.widening import by_parts, nhwc

TILE, SEEN = 4, 6
"""Pixels that are computed together, and those that they are computed from, in either direction."""
LEAST_TILES, LEAST_CHANNELS = 48, 128
"""With fewer, the changes of form take longer than what they save."""
TOGETHER = 64
"""Tiles that are multiplied at once at least; with fewer, products are slow."""
STRIP, PART = 1 << 22, 1 << 22
"""Numbers of the pixels' other form (16 MB), and weights (64 MB in theirs), that are there at a time."""
_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)


class Forms(NamedTuple):
    """The changes of form, for both directions at once."""

    pixels: Tensor
    """``[36, 36]``, from pixels."""
    weights: Tensor
    """``[36, 9]``, from weights."""
    back: Tensor
    """``[16, 36]``, to pixels."""


def pays(x: Tensor, weight: Tensor, edge: tuple[int, int]) -> bool:
    """Whether this is the fastest way for a convolution of 3 x 3 that keeps the size."""
    rows, columns = _tiled(x, edge)
    enough = x.shape[0] * rows * columns >= LEAST_TILES and min(weight.shape[:2]) >= LEAST_CHANNELS
    return enough and weight.shape[2:] == (3, 3) and x.dtype == torch.float32 and nhwc(x)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, edge: tuple[int, int]) -> Tensor:
    """``x [B, C, h, w]`` with ``edge`` zeros around it, convolved with ``weight [N, C, 3, 3]``, which may be
    kept narrower: ``[B, N, h - 2 + 2 edge, …]``, channels last.
    """
    batch, channels, height, width = x.shape
    rows, columns = _tiled(x, edge)
    out = x.new_empty(batch, rows * TILE, columns * TILE, weight.shape[0])
    tiles = max(TOGETHER, STRIP // (SEEN**2 * max(channels, weight.shape[0])))
    step = max(1, tiles // (batch * columns))
    to = _forms(x.dtype)
    for wide, start, stop in by_parts(weight, x.dtype, PART):
        by = _into("weights", to.weights, wide.reshape(-1, 9).t()).view(SEEN**2, -1, channels)
        for top in range(0, rows, step):
            seen = _tiles(x, (top, min(step, rows - top), columns), edge)
            made = _filtered(seen, by, to)
            place = out[:, top * TILE : (top + step) * TILE, :, start:stop]
            place = place.view(batch, -1, TILE, columns, TILE, stop - start).permute(2, 4, 0, 1, 3, 5)
            torch.add(made.view(place.shape), 0.0 if bias is None else bias[start:stop], out=place)
    kept = out[:, : height - 2 + 2 * edge[0], : width - 2 + 2 * edge[1]]
    return kept.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _tiled(x: Tensor, edge: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of tiles that the result is made of."""
    return -(-(x.shape[2] - 2 + 2 * edge[0]) // TILE), -(-(x.shape[3] - 2 + 2 * edge[1]) // TILE)


def _tiles(x: Tensor, strip: tuple[int, int, int], edge: tuple[int, int]) -> Tensor:
    """The pixels that rows of tiles (first, how many, columns) are computed from, ``[36, B tiles C]``."""
    top, rows, columns = strip
    first = top * TILE - edge[0]
    last = first + rows * TILE + SEEN - TILE
    seen = x.permute(0, 2, 3, 1)[:, max(first, 0) : last]
    size = (x.shape[0], last - first, columns * TILE + SEEN - TILE, x.shape[1])
    framed, above = room("framed").of(size, x.dtype).zero_(), max(-first, 0)
    framed[:, above : above + seen.shape[1], edge[1] : edge[1] + seen.shape[2]] = seen
    tiles = framed.unfold(1, SEEN, TILE).unfold(2, SEEN, TILE)
    tiles = tiles.permute(4, 5, 0, 1, 2, 3)
    return room("tiles").of(tiles.shape, x.dtype).copy_(tiles).view(SEEN**2, -1)


def _filtered(seen: Tensor, by: Tensor, to: Forms) -> Tensor:
    """Tiles ``[36, tiles C]`` by weights ``[36, n, C]``: their pixels ``[16, tiles n]``."""
    values = _into("values", to.pixels, seen).view(SEEN**2, -1, by.shape[2])
    free = room("tiles").of((SEEN**2, values.shape[1], by.shape[1]), by.dtype)
    products = torch.bmm(values, by.transpose(1, 2), out=free)
    return _into("values", to.back, products.view(SEEN**2, -1))


def _into(use: str, form: Tensor, x: Tensor) -> Tensor:
    """``x [K, n]`` in another form, in the room for this use."""
    return torch.mm(form, x, out=room(use).of((len(form), x.shape[1]), x.dtype))


@lru_cache(maxsize=4)
def _forms(dtype: torch.dtype) -> Forms:
    """Weights are divided by the differences of points, so that pixels need not be."""
    powers = [[point**n for n in range(TILE)] for point in _POINTS]
    back = [*powers, [0.0] * (TILE - 1) + [1.0]]
    apart = [prod(p - q for q in _POINTS if q != p) for p in _POINTS]
    weights = [[p**n / far for n in range(3)] for p, far in zip(_POINTS, apart, strict=True)]
    pixels = [_product([q for q in _POINTS if q != p]) for p in _POINTS]
    found = (
        torch.tensor([*pixels, _product(_POINTS)], dtype=torch.float64),
        torch.tensor([*weights, [0.0, 0.0, 1.0]], dtype=torch.float64),
        torch.tensor(back, dtype=torch.float64).t(),
    )
    return Forms(*(torch.kron(one, one).to(dtype).contiguous() for one in found))


def _product(roots: Sequence[float]) -> list[float]:
    """The coefficients of the polynomial with these roots, from the constant on, six of them."""
    found = [1.0]
    for root in roots:
        found = [low - root * high for low, high in zip([0.0, *found], [*found, 0.0], strict=True)]
    return found + [0.0] * (SEEN - len(found))
