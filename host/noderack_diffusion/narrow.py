"""Weights in eight bits: floats of eight bits, or whole numbers with a scale for each row; and back.

A weight that patches changed is rounded by chance, up or down in proportion to where it lies between two
numbers: a change much smaller than their distance would be lost otherwise, and so its mean stays. The chances
follow from the weight's name, so the same patches make the same weight.
"""

import zlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

FORMATS: Mapping[str, torch.dtype] = {
    "e4m3fn": torch.float8_e4m3fn,
    "e5m2": torch.float8_e5m2,
    "int8": torch.int8,
}
"""By the name that the field has for them."""
HIGHEST = 127
_FRACTION_BITS = {torch.float8_e4m3fn: 3, torch.float8_e5m2: 2}


class Scaled(nn.Parameter):
    """Whole numbers ``[rows, ...]``, each row to be multiplied by its ``scale [rows, 1, ...]``."""

    scale: Tensor

    def __new__(cls, whole: Tensor, scale: Tensor) -> "Scaled":
        """``whole`` is int8, ``scale`` fp32, both on the same device."""
        made = super().__new__(cls, whole, requires_grad=False)
        made.scale = scale
        return made

    def __init__(self, whole: Tensor, scale: Tensor) -> None:
        super().__init__()

    def on(self, device: torch.device, whole: Tensor | None = None) -> "Scaled":
        """The same on another device; ``whole`` is its numbers, if they are there already."""
        return Scaled(self.data.to(device) if whole is None else whole, self.scale.to(device))


def narrowed(tensor: Tensor, form: torch.dtype, chance: str | None = None) -> Tensor:
    """``tensor`` in eight bits, rounded to the nearest number or, with a name to draw by, by chance."""
    if form == torch.int8:
        return _whole(tensor, chance)
    return tensor.to(form) if chance is None else _by_chance(tensor, form, chance)


def widened(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight that is kept narrower, to compute with."""
    if isinstance(weight, Scaled):
        return weight.data.to(dtype).mul_(weight.scale.to(dtype))
    return weight.to(dtype)


def parameter_of(value: Tensor) -> nn.Parameter:
    """What a layer holds of a weight."""
    return value if isinstance(value, nn.Parameter) else nn.Parameter(value, requires_grad=False)


def _draw(like: Tensor, name: str) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.rand(like.shape, generator=generator).to(like.device)


def _whole(tensor: Tensor, chance: str | None) -> Scaled:
    value = tensor.to(torch.float32)
    scale = value.abs().amax(dim=tuple(range(1, value.dim())), keepdim=True) / HIGHEST
    scale = torch.where(scale > 0, scale, 1.0)
    steps = value / scale
    steps = steps.round_() if chance is None else steps.add_(_draw(steps, chance)).floor_()
    return Scaled(steps.clamp_(-HIGHEST, HIGHEST).to(torch.int8), scale)


def _by_chance(tensor: Tensor, form: torch.dtype, name: str) -> Tensor:
    """The distance of neighbours is a power of two: it follows from a number's own, or the smallest's."""
    value, told = tensor.to(torch.float32), torch.finfo(form)
    _, power = torch.frexp(value)
    _, least = torch.frexp(torch.tensor(told.smallest_normal))
    distance = torch.ldexp(torch.ones_like(value), power.clamp(min=int(least)) - 1 - _FRACTION_BITS[form])
    steps = (value / distance).add_(_draw(value, name)).floor_()
    return steps.mul_(distance).clamp_(told.min, told.max).to(form)
