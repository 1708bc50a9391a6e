"""Canny's edges, step by step: blur, slopes, thin lines, and those that hang together with strong ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_GREY = (0.299, 0.587, 0.114)
_WINDOW, _SIGMA, _EPS = 5, 1.0, 1e-6
_AROUND = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""The eight neighbours (rows, columns), turning from the right over the bottom."""


def canny(image: Tensor, low: float, high: float) -> Tensor:
    """Edges [B, H, W] (0 or 1) of images [B, H, W, C] in 0..1."""
    grey = _blurred(_grey(image))
    across, down = _slopes(grey)
    strength = (across**2 + down**2 + _EPS).sqrt()
    strength = strength * _ridge(strength, torch.atan2(down, across))
    return _connected(strength > low, strength > high)[:, 0]


def _grey(image: Tensor) -> Tensor:
    if image.shape[-1] < 3:
        return image[..., :1].movedim(-1, 1)
    weights = torch.tensor(_GREY).to(image)
    return (image[..., :3] * weights).sum(-1)[:, None]


def _blurred(x: Tensor) -> Tensor:
    places = torch.arange(_WINDOW, dtype=torch.float32) - _WINDOW // 2
    line = torch.exp(-(places**2) / (2 * _SIGMA**2))
    line = (line / line.sum()).to(x)
    padded = F.pad(x, [_WINDOW // 2] * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))


def _slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    """How much brighter it gets to the right and downwards (Sobel)."""
    sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]).to(x)
    kernels = torch.stack([sobel, sobel.t()])[:, None]
    both = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernels)
    return both[:, :1], both[:, 1:]


def _neighbours(x: Tensor) -> Tensor:
    """The eight neighbours' values, [B, 8, H, W], 0 outside."""
    height, width = x.shape[-2:]
    padded = F.pad(x, (1, 1, 1, 1))
    return torch.cat([padded[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in _AROUND], dim=1)


def _ridge(strength: Tensor, angle: Tensor) -> Tensor:
    """Where it is stronger than both neighbours along the slope."""
    ahead = ((angle * (180.0 / torch.pi) / 45).round() % 8).long()
    above = strength - _neighbours(strength)
    both = torch.stack([above.gather(1, ahead), above.gather(1, (ahead + 4) % 8)])
    return both.amin(dim=0) > 0


def _connected(weak: Tensor, strong: Tensor) -> Tensor:
    """The strong, and the weak that touch them or each other on the way to them."""
    found = strong
    while True:
        grown = found | (weak & (_neighbours(found.float()).amax(dim=1, keepdim=True) > 0))
        if grown.equal(found):
            return found.float()
        found = grown
