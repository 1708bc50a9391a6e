"""TAESD: a tiny autoencoder whose pictures are good enough to watch a run by, under its original names.

Its latents are scaled as the network's are (no 0.18215 in between), its pictures lie in 0..1.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.ops import conv3
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.shapes import Shapes, need
from noderack_diffusion.store import Store
from noderack_diffusion.weights import Live, pieces_below, shapes

PREFIXES = ("taesd_decoder.", "decoder.", "")


@dataclass(frozen=True, slots=True)
class TaesdConfig:
    """The numbers of a TAESD half."""

    latent: int = 4
    width: int = 64
    blocks: int = 3
    levels: int = 3


def taesd_config(shapes: Shapes) -> TaesdConfig:
    """Read the config of a TAESD decoder (keys ``1.weight`` ...) from its shapes."""
    width, latent, *_ = need(shapes, "1.weight", "TAESD decoder")
    return TaesdConfig(latent=latent, width=width)


class Clamp(nn.Module):
    """Keeps latents within -3..3, softly."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    """Three convolutions added to the input."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            conv3(inner, outer), nn.ReLU(), conv3(outer, outer), nn.ReLU(), conv3(outer, outer)
        )
        self.skip = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1, bias=False)
        self.fuse = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fuse(self.conv(x) + self.skip(x))
        return out


def _bare(inner: int, outer: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, 3, stride=stride, padding=1, bias=False)


def decoder(config: TaesdConfig) -> nn.Sequential:
    """Scaled latents ``[B, C, h, w]`` -> pictures ``[B, 3, 8h, 8w]`` in 0..1."""
    width = config.width
    layers: list[nn.Module] = [Clamp(), conv3(config.latent, width), nn.ReLU()]
    for _ in range(config.levels):
        layers += [Block(width, width) for _ in range(config.blocks)]
        layers += [nn.Upsample(scale_factor=2), _bare(width, width)]
    return nn.Sequential(*layers, Block(width, width), conv3(width, 3))


def encoder(config: TaesdConfig) -> nn.Sequential:
    """Pictures ``[B, 3, H, W]`` in 0..1 -> scaled latents."""
    width = config.width
    layers: list[nn.Module] = [conv3(3, width), Block(width, width)]
    for _ in range(config.levels):
        layers += [_bare(width, width, 2), *(Block(width, width) for _ in range(config.blocks))]
    return nn.Sequential(*layers, conv3(width, config.latent))


@dataclass(frozen=True, eq=False)
class Preview:
    """A decoder for watching a run: clean latents as samplers have them -> pictures."""

    live: Live

    @torch.no_grad()
    def decode(self, clean: Tensor) -> Tensor:
        """Scaled latents ``[B, C, h, w]`` -> pictures ``[B, 8h, 8w, 3]`` in 0..1, on the CPU."""
        out: Tensor = self.live.use(PatchSet())(clean.to(self.live.device, self.live.dtype))
        return out.float().clamp(0.0, 1.0).cpu().movedim(1, -1)


def load_preview(path: str | Path, *, device: str | torch.device = "cpu") -> Preview:
    """Open a TAESD decoder file. Raises FileError, or UnknownModelError if it is of another kind."""
    store = Store.open(path)
    prefix = next((p for p in PREFIXES if p + "1.weight" in store.header), None)
    if prefix is None:
        raise UnknownModelError(f"{store.path.name} is no TAESD decoder (no tensor 1.weight)")
    pieces = pieces_below(store, prefix)
    config = taesd_config(shapes(pieces))
    return Preview(Live(lambda: decoder(config), pieces, key=f"{store.key}:taesd", device=device))
