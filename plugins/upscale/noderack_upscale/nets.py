"""The two networks behind most upscale files: RRDB (ESRGAN, Real-ESRGAN, BSRGAN) and the compact one
(Real-ESRGAN's general and animation models).

Sources: Wang et al., "ESRGAN" (2018), and "Real-ESRGAN" (2021). Parameter names are those of Real-ESRGAN's
files; ``files`` renames the older ones. All work on ``[B, C, h, w]`` in 0..1.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
RESIDUAL = 0.2
"""How much of a dense block's, and of a triple block's, change is added."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What makes a network of either kind."""

    colours: int
    """Channels of the picture."""
    width: int
    growth: int
    """Channels that each convolution of a dense block adds; 0 in the compact network."""
    blocks: int
    ups: int
    """How often an RRDB network doubles the picture; in the compact one by how much it enlarges at once."""
    shuffle: int = 1
    """The picture is folded into channels by this before (Real-ESRGAN's x2 and x1 models)."""

    @property
    def scale(self) -> int:
        """Pixels of the result's side per pixel of the picture's."""
        return 2**self.ups // self.shuffle if self.growth else self.ups


def _conv(into: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(into, out, 3, padding=1)


class Dense(nn.Module):
    """Five convolutions, each of which sees all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for i in range(1, 5):
            self.add_module(f"conv{i}", _conv(width + (i - 1) * growth, growth))
        self.conv5 = _conv(width + 4 * growth, width)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for i in range(1, 5):
            layer = self.get_submodule(f"conv{i}")
            seen = torch.cat([seen, F.leaky_relu(layer(seen), SLOPE, inplace=True)], 1)
        return x + RESIDUAL * cast(Tensor, self.conv5(seen))


class Triple(nn.Module):
    """Three dense blocks in a row."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (Dense(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL * cast(Tensor, self.rdb3(self.rdb2(self.rdb1(x))))


class Rrdb(nn.Module):
    """Residual-in-residual dense blocks, then enlarging by two as often as asked."""

    def __init__(self, numbers: Numbers) -> None:
        super().__init__()
        width, self.numbers = numbers.width, numbers
        self.conv_first = _conv(numbers.colours * numbers.shuffle**2, width)
        self.body = nn.Sequential(*(Triple(width, numbers.growth) for _ in range(numbers.blocks)))
        self.conv_body = _conv(width, width)
        for i in range(1, numbers.ups + 1):
            self.add_module(f"conv_up{i}", _conv(width, width))
        self.conv_hr, self.conv_last = _conv(width, width), _conv(width, numbers.colours)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        fold, scale = self.numbers.shuffle, self.numbers.scale
        if fold > 1:
            x = F.pad(x, (0, -width % fold, 0, -height % fold), mode="reflect")
            x = F.pixel_unshuffle(x, fold)
        h = self.conv_first(x)
        h = h + self.conv_body(self.body(h))
        for i in range(1, self.numbers.ups + 1):
            layer = self.get_submodule(f"conv_up{i}")
            h = F.leaky_relu(layer(F.interpolate(h, scale_factor=2.0)), SLOPE, inplace=True)
        out: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(h), SLOPE, inplace=True))
        return out[..., : height * scale, : width * scale]


class Compact(nn.Module):
    """Convolutions at the size of the picture, enlarged at the end; adds to the picture itself, enlarged."""

    def __init__(self, numbers: Numbers) -> None:
        super().__init__()
        width, self.scale = numbers.width, numbers.scale
        layers: list[nn.Module] = [_conv(numbers.colours, width), nn.PReLU(width)]
        for _ in range(numbers.blocks):
            layers += [_conv(width, width), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, _conv(width, numbers.colours * self.scale**2))

    def forward(self, x: Tensor) -> Tensor:
        changed = F.pixel_shuffle(self.body(x), self.scale)
        return changed + F.interpolate(x, scale_factor=float(self.scale))


def build(numbers: Numbers) -> nn.Module:
    """The network of these numbers, its weights not yet there."""
    with torch.device("meta"):
        return (Rrdb if numbers.growth else Compact)(numbers).eval()
