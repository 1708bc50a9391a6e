"""Where in a latent a condition holds: areas and masks, resolved for one latent size."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from noderack_diffusion.errors import MismatchError

Area = tuple[int, int, int, int]
"""Height, width, top, left in latent cells."""

FEATHER = 8
LEAST_SIDE = 8


def resolve(entry: Mapping[str, Any], size: tuple[int, int]) -> tuple[Area | None, Tensor | None]:
    """The area and the mask ``[b, h, w]`` of one conditioning entry in a latent of ``size``."""
    area = _within(_cells(entry.get("area"), size), size)
    mask = entry.get("mask")
    if mask is None:
        return area, None
    mask = resize_mask(mask, size)
    if entry.get("set_area_to_bounds", False):
        area = bounds(mask)
    return area, mask


def _cells(area: Sequence[Any] | None, size: tuple[int, int]) -> Area | None:
    if area is None:
        return None
    if area[0] != "percentage":
        return int(area[0]), int(area[1]), int(area[2]), int(area[3])
    h, w, y, x = area[1:]
    return max(1, round(h * size[0])), max(1, round(w * size[1])), round(y * size[0]), round(x * size[1])


def _within(area: Area | None, size: tuple[int, int]) -> Area | None:
    """The same, if any of it lies in the latent."""
    if area is None:
        return None
    (h, w, y, x), (rows, columns) = area, size
    if h < 1 or w < 1 or not 0 <= y < rows or not 0 <= x < columns:
        raise MismatchError(
            f"a prompt's area of {8 * w} x {8 * h} pixels at ({8 * x}, {8 * y}) does not begin in the "
            f"picture, which has {8 * columns} x {8 * rows}; move the area or make the picture larger"
        )
    return area


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask ``[h, w]`` or ``[b, h, w]`` at ``size``, bilinear."""
    mask = mask[None] if mask.dim() == 2 else mask
    if tuple(mask.shape[1:]) == size:
        return mask
    return F.interpolate(mask[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]


def bounds(mask: Tensor) -> Area:
    """The smallest area that holds all of a mask, at least 8 cells along each side."""
    places = mask.abs().amax(dim=0).nonzero()
    if not len(places):
        return LEAST_SIDE, LEAST_SIDE, 0, 0
    (top, left), (bottom, right) = places.amin(dim=0).tolist(), places.amax(dim=0).tolist()
    return max(LEAST_SIDE, bottom - top + 1), max(LEAST_SIDE, right - left + 1), top, left


def clip(area: Area, size: tuple[int, int]) -> Area:
    """The part of an area that lies in the latent."""
    h, w, y, x = area
    return min(size[0] - y, h), min(size[1] - x, w), y, x


def crop(x: Tensor, area: Area | None) -> Tensor:
    """The area's view of a tensor ``[..., h, w]``."""
    if area is None:
        return x
    h, w, top, left = area
    return x[..., top : top + h, left : left + w]


def influence(
    like: Tensor, size: tuple[int, int], area: Area | None, mask: Tensor | None, strength: float
) -> Tensor:
    """How much each cell of a prediction counts; ``like`` is the cropped input ``[B, C, h, w]``.

    An area without a mask fades out linearly over up to 8 cells at the edges that lie inside the latent.
    """
    if mask is not None:
        part = crop(mask[: like.shape[0]], area)[:, None].to(like.device, like.dtype)
        return part.repeat(like.shape[0] // part.shape[0], like.shape[1], 1, 1) * strength
    value = torch.ones_like(like) * strength
    if area is not None:
        for axis in (0, 1):
            _feather(value, axis + 2, area[axis], area[axis + 2], size[axis])
    return value


def _feather(value: Tensor, axis: int, length: int, start: int, whole: int) -> None:
    width = min(FEATHER, value.shape[axis] // 4)
    for t in range(width):
        if start != 0:
            value.narrow(axis, t, 1).mul_((t + 1) / width)
        if start + length < whole:
            value.narrow(axis, length - 1 - t, 1).mul_((t + 1) / width)


def inside(inner: Area, outer: Area) -> bool:
    """Whether one area lies in another."""
    return all(
        inner[i + 2] >= outer[i + 2] and inner[i] + inner[i + 2] <= outer[i] + outer[i + 2] for i in (0, 1)
    )
