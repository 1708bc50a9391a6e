"""Enlarging in tiles, with smaller ones where memory does not suffice."""

from collections.abc import Callable

import torch
from noderack_diffusion.tiling import Scale, starts, tiled
from torch import Tensor

from noderack_upscale.files import Upscaler

TILE, SMALLEST, OVERLAP = 512, 128, 32
"""In pixels of the picture that goes in."""

Tick = Callable[[int, int], None]
"""Told (done, of) after each tile; may raise to stop."""


def enlarge(model: Upscaler, image: Tensor, *, tile: int = TILE, tick: Tick | None = None) -> Tensor:
    """Pictures ``[B, H, W, C]`` in 0..1, as large as the model makes them.

    Tiles overlap and are blended. Where the device's memory does not suffice the tile's side is halved, down
    to 128; then the device's own error is raised.
    """
    pixels = image[..., :3].movedim(-1, 1)
    while True:
        try:
            return _tiled(model, pixels, tile, tick).clamp_(0.0, 1.0).movedim(1, -1)
        except (RuntimeError, MemoryError) as cause:
            if not lacks_memory(cause) or tile // 2 < SMALLEST:
                raise
            tile //= 2


def lacks_memory(cause: BaseException) -> bool:
    """Whether it says that memory did not suffice; torch has no error of its own for that on a CPU."""
    return isinstance(cause, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(cause)


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
