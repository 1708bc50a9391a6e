"""Enlarging in tiles, with smaller ones where memory does not suffice."""

from collections.abc import Callable

import torch
from noderack_diffusion.errors import lacks_memory
from noderack_diffusion.rooms import room_of
from noderack_diffusion.tiling import Scale, starts, tiled
from torch import Tensor

from noderack_upscale.files import Upscaler

TILE, SMALLEST, OVERLAP = 512, 128, 32
"""In pixels of the picture that goes in."""
_WITHIN, _ENLARGED = 512, 192
"""Numbers that are there at once at most for each pixel that goes in, and for each that comes out; of
networks of 64 channels, as nearly all are."""

Tick = Callable[[int, int], None]
"""Told (done, of) after each tile; may raise to stop."""


def enlarge(model: Upscaler, image: Tensor, *, tile: int = TILE, tick: Tick | None = None) -> Tensor:
    """Pictures ``[B, H, W, C]`` in 0..1, as large as the model makes them.

    Tiles overlap and are blended. Where the device's memory does not suffice the tile's side is halved, down
    to 128; then the device's own error is raised.
    """
    pixels = image[..., :3].movedim(-1, 1)
    make_way(model, min(tile, pixels.shape[2]), min(tile, pixels.shape[3]))
    while True:
        try:
            return _tiled(model, pixels, tile, tick).clamp_(0.0, 1.0).movedim(1, -1)
        except (RuntimeError, MemoryError) as cause:
            if not lacks_memory(cause) or tile // 2 < SMALLEST:
                raise
            tile //= 2


def make_way(model: Upscaler, height: int, width: int) -> None:
    """Have models that stay warm on the device give back weights, as many as a tile's computing wants."""
    device = getattr(model, "device", None)
    if isinstance(device, torch.device):
        numbers = (_WITHIN + _ENLARGED * int(model.scale) ** 2) * height * width
        room_of(device).make_way(numbers * torch.float32.itemsize, "an upscale model")


def _tiled(model: Upscaler, pixels: Tensor, tile: int, tick: Tick | None) -> Tensor:
    scale = int(model.scale)
    height, width = pixels.shape[-2:]
    across = [len(list(starts(side, tile, OVERLAP))) for side in (height, width)]
    total, done = len(pixels) * across[0] * across[1], 0

    def run(part: Tensor) -> Tensor:
        nonlocal done
        out = model(part.float())
        done += 1
        if tick is not None:
            tick(done, total)
        return out

    if total == len(pixels):
        return torch.cat([run(one).float().cpu() for one in torch.split(pixels, 1)])
    return tiled(run, pixels, (tile, tile), OVERLAP, Scale(scale), pixels.shape[1])
