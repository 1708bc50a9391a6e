"""T2I-adapters: a small network of its own that reads a picture once, and steers the U-Net's first half.

There are three makes: the full one of Stable Diffusion 1, the light one, and the one of SDXL.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion.control import Residuals, Steering
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.shapes import Shapes, count
from noderack_diffusion.sigma import Parametrisation
from noderack_diffusion.store import Store
from noderack_diffusion.weights import Live, Piece, Pieces

_LEVELS, _BLOCKS = 4, 2
_UNSHUFFLE, _UNSHUFFLE_XL = 8, 16
_XL_MOST = (256, 768)
"""Channels of a picture (grey, coloured) unshuffled by 16, which tells SDXL's."""


def halved(x: Tensor) -> Tensor:
    """The mean of each two by two; an odd side begins with half a pair, padded with nothing."""
    return F.avg_pool2d(x, 2, stride=2, padding=(x.shape[2] % 2, x.shape[3] % 2))


class Halve(nn.Module):
    """Halve the size, by a strided convolution where the file has one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op(x)
        return out


class Block(nn.Module):
    """Two convolutions, added to the input; a wider or smaller input is fitted before."""

    def __init__(
        self, inner: int, outer: int, window: int, *, down: bool = False, learned: bool = False
    ) -> None:
        super().__init__()
        self.down = down
        self.down_opt = Halve(inner) if down and learned else None
        self.in_conv = None if inner == outer else nn.Conv2d(inner, outer, window, padding=window // 2)
        self.block1 = nn.Conv2d(outer, outer, 3, padding=1)
        self.block2 = nn.Conv2d(outer, outer, window, padding=window // 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.down:
            x = halved(x) if self.down_opt is None else self.down_opt(x)
        if self.in_conv is not None:
            x = self.in_conv(x)
        out: Tensor = self.block2(F.relu(self.block1(x))) + x
        return out


class FullAdapter(nn.Module):
    """A picture ``[B, c, 8h, 8w]`` -> its features, level by level."""

    def __init__(
        self, channels: int, widths: tuple[int, ...], window: int, *, xl: bool, learned: bool
    ) -> None:
        super().__init__()
        self.unshuffle, self.xl = nn.PixelUnshuffle(_UNSHUFFLE_XL if xl else _UNSHUFFLE), xl
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        smaller = (2,) if xl else (1, 2, 3)
        blocks: list[nn.Module] = []
        for i, width in enumerate(widths):
            down = {"down": i in smaller, "learned": learned}
            blocks.append(Block(widths[max(0, i - 1)], width, window, **down))
            blocks += [Block(width, width, window) for _ in range(_BLOCKS - 1)]
        self.body = nn.ModuleList(blocks)

    def forward(self, picture: Tensor) -> list[Tensor]:
        x, found = self.conv_in(self.unshuffle(picture)), []
        for i, block in enumerate(self.body):
            x = block(x)
            if i % _BLOCKS == _BLOCKS - 1:
                found.append(x)
        return found


class _Inner(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.block1 = nn.Conv2d(width, width, 3, padding=1)
        self.block2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block2(F.relu(self.block1(x))) + x
        return out


class _LightBlock(nn.Module):
    def __init__(self, inner: int, middle: int, outer: int, blocks: int, *, down: bool) -> None:
        super().__init__()
        self.down = down
        self.in_conv = nn.Conv2d(inner, middle, 1)
        self.body = nn.Sequential(*(_Inner(middle) for _ in range(blocks)))
        self.out_conv = nn.Conv2d(middle, outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out_conv(self.body(self.in_conv(halved(x) if self.down else x)))
        return out


class LightAdapter(nn.Module):
    """The same with a quarter of the channels within each level. ``sizes``: (in, within, out) by level."""

    xl = False

    def __init__(self, sizes: tuple[tuple[int, int, int], ...], blocks: int) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(_UNSHUFFLE)
        levels = (_LightBlock(*size, blocks, down=i > 0) for i, size in enumerate(sizes))
        self.body = nn.ModuleList(levels)

    def forward(self, picture: Tensor) -> list[Tensor]:
        x, found = self.unshuffle(picture), []
        for block in self.body:
            x = block(x)
            found.append(x)
        return found


Network = FullAdapter | LightAdapter


@dataclass(frozen=True, eq=False)
class T2IAdapter(Steering):
    """The handle that a CONTROL_NET socket carries for such a file; ``channels`` of the picture it reads."""

    live: Live = field(kw_only=True)
    channels: int = 3
    _read: dict[tuple[object, ...], tuple[list[Tensor], bool]] = field(default_factory=dict, repr=False)

    def own(self, param: Parametrisation, x: Tensor, sigma: Tensor, **given: Any) -> Residuals:
        """What to add behind the last stage of each level; the deepest of SDXL's goes into the middle."""
        features, xl = self._features(x)
        places = self._placed([f * self.strength for f in features], xl=xl)
        if xl:
            return {"input": places[1:], "middle": places[:1]}
        return {"input": places}

    def _features(self, x: Tensor) -> tuple[list[Tensor], bool]:
        """The picture's features, read once for each size; and whether they are of SDXL's adapter."""
        key = (*x.shape[-2:], x.shape[0], str(x.device))
        if key not in self._read:
            network = cast(Network, self.live.use(PatchSet()))
            picture = self.picture(x, network.unshuffle.downscale_factor)
            if self.channels == 1:
                picture = picture.mean(dim=1, keepdim=True)
            self._read.clear()
            self._read[key] = network(picture.to(self.live.device, self.live.dtype)), network.xl
        return self._read[key]

    @staticmethod
    def _placed(features: list[Tensor], *, xl: bool) -> list[Tensor | None]:
        """One place for each input stage, the last stage's first (lists are used from their end)."""
        gaps = (3, 1, 2, 1) if xl else (2, 2, 2, 2)
        found: list[Tensor | None] = []
        for gap, feature in zip(gaps, features, strict=True):
            found += [*[None] * gap, feature]
        return found[::-1]


def adapter_in(store: Store) -> tuple[Pieces, Network, int] | None:
    """The pieces of an adapter's file, a network for them (without weights) and its picture's channels."""
    pieces = dict(_pieces(store))
    found = {name: piece.dims() for name, piece in pieces.items()}
    with torch.device("meta"):
        if "body.0.out_conv.weight" in found:
            network: Network = _light(found)
        elif "conv_in.weight" in found and "body.0.block1.weight" in found:
            network = _full(found)
        else:
            return None
    inner = found["body.0.in_conv.weight" if isinstance(network, LightAdapter) else "conv_in.weight"][1]
    return pieces, network, inner // network.unshuffle.downscale_factor**2


def _light(found: Shapes) -> LightAdapter:
    levels = range(count(found, "body.{}.out_conv.weight"))
    ends = [(found[f"body.{i}.in_conv.weight"], found[f"body.{i}.out_conv.weight"]) for i in levels]
    sizes = tuple((first[1], first[0], last[0]) for first, last in ends)
    return LightAdapter(sizes, count(found, "body.0.body.{}.block1.weight"))


def _full(found: Shapes) -> FullAdapter:
    channels = found["conv_in.weight"][1]
    widths = tuple(found[f"body.{i * _BLOCKS}.block1.weight"][0] for i in range(_LEVELS))
    window, learned = found["body.0.block2.weight"][2], any("down_opt" in name for name in found)
    return FullAdapter(channels, widths, window, xl=channels in _XL_MOST, learned=learned)


def _pieces(store: Store) -> Iterator[tuple[str, Piece]]:
    """Tensors by the original names; diffusers counts blocks within levels."""
    light = any(name.endswith("body.0.out_conv.weight") for name in store.header)
    for name in store.header:
        own = name.removeprefix("adapter.")
        parts = own.split(".")
        if "resnets" in parts or (own != name and not light and parts[0] == "body"):
            own = _original(parts, light)
        yield own, Piece(store, name)


def _original(parts: list[str], light: bool) -> str:
    level, rest = int(parts[1]), parts[2:]
    if light:
        return ".".join(["body", parts[1], "body", *rest[1:]])
    inner = int(rest[1]) if rest[0] == "resnets" else 0
    leaf = rest[2:] if rest[0] == "resnets" else rest
    return ".".join(["body", str(level * _BLOCKS + inner), *leaf])
