"""Attention to a picture's tokens beside the attention to the text."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from noderack_diffusion.ops import attention
from torch import Tensor
from torch.nn import functional as F

from noderack_ipadapter.weighing import Strength

PENALTY = 1280.0
"""Channels at which keys and values are scaled by the weight itself."""


def _values(k: Tensor, v: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    return k, v * weight


def _both(k: Tensor, v: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    return k * weight, v * weight


def _both_by_width(k: Tensor, v: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    return _both(k, v, weight * (k.shape[2] / PENALTY))


def _mean_by_width(k: Tensor, v: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    weight, mean = weight * (k.shape[2] / PENALTY), v.mean(dim=1, keepdim=True)
    return k * weight, v - mean + mean * weight


SCALINGS: Mapping[str, Callable[[Tensor, Tensor, Any], tuple[Tensor, Tensor]]] = {
    "V only": _values,
    "K+V": _both,
    "K+V w/ C penalty": _both_by_width,
    "K+mean(V) w/ C penalty": _mean_by_width,
}
"""What of a picture's tokens the weight scales."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One adapter's tokens for one layer."""

    wanted: Tensor
    """``[b, n, context]``: for the side with the prompt, one row for all pictures or one for each."""
    unwanted: Tensor
    k: Tensor
    v: Tensor
    strength: Strength
    scaling: str = "V only"
    first: float = math.inf
    """Holds from this sigma ..."""
    last: float = 0.0
    """... down to this one."""
    mask: Tensor | None = None
    """``[m, H, W]``: where in the picture."""
    frames: Tensor | None = None
    """``[frames, 1, 1]``: by how much the strength is multiplied for each picture of the batch."""
    _kept: dict[Any, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Keys and values by side, dtype and device: the same in every step."""

    def on(self, q: Tensor, told: Mapping[str, Any]) -> Tensor | None:
        """What it adds to the attention of ``q [B, N, C]``, or None."""
        sides: Sequence[int] = told["cond_or_uncond"]
        if not self.last <= float(told["sigmas"][0]) <= self.first or not any(map(self._weight, sides)):
            return None
        rows = len(q) // len(sides)
        pairs = [self._keys(side, rows, q) for side in sides]
        k, v = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        out = attention(q, k, v, told["n_heads"])
        return out if self.mask is None else out * self._place(q, told, len(sides))

    def _weight(self, side: int) -> float:
        against = self.strength.against
        if against is not None:
            return against if side == 1 else self.strength.wanted
        return self.strength.wanted

    def _keys(self, side: int, rows: int, like: Tensor) -> tuple[Tensor, Tensor]:
        key = side, rows, like.dtype, like.device
        if key not in self._kept:
            tokens = self.unwanted if side == 1 and self.strength.against is None else self.wanted
            tokens = _rows(tokens, rows).to(like)
            k, v = (F.linear(tokens, matrix.to(like)) for matrix in (self.k, self.v))
            weight: Any = self._weight(side)
            if self.frames is not None:
                weight = _rows(self.frames, rows).to(like) * weight
            k, v = SCALINGS[self.scaling](k, v, weight)
            self._kept[key] = (k, v) if self._weight(side) else (k, torch.zeros_like(v))
        return self._kept[key]

    def _place(self, q: Tensor, told: Mapping[str, Any], sides: int) -> Tensor:
        """The mask at the size of this layer, ``[B, N, 1]``."""
        assert self.mask is not None
        size = layer_size(told["original_shape"][-2:], q.shape[1])
        small = F.interpolate(self.mask[:, None].to(q), size=size, mode="bilinear", align_corners=False)
        return _rows(small.flatten(2).transpose(1, 2), len(q) // sides).repeat(sides, 1, 1)


def layer_size(latent: Sequence[int], tokens: int) -> tuple[int, int]:
    """Height and width of a layer with so many tokens, for a latent of that height and width."""
    height, width = (int(side) for side in latent)
    while height * width > tokens:
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def _rows(value: Tensor, rows: int) -> Tensor:
    """As many rows as there are pictures: the last one again and again, where there are too few."""
    if len(value) >= rows:
        return value[:rows]
    return torch.cat([value, value[-1:].expand(rows - len(value), *value.shape[1:])])


@dataclass(frozen=True, slots=True, eq=False)
class Attend:
    """Takes the place of a layer's attention to the text; adapters put on one after the other add up."""

    pictures: tuple[Picture, ...]

    def also(self, picture: Picture) -> "Attend":
        """The same with one more."""
        return replace(self, pictures=(*self.pictures, picture))

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, told: Mapping[str, Any]) -> Tensor:
        out = attention(q, k, v, told["n_heads"])
        for picture in self.pictures:
            more = picture.on(q, told)
            if more is not None:
                out = out + more
        return out
