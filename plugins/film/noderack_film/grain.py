"""Grain: noise with a size, drawn from a seed, strongest where film shows it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MASK64 = (1 << 64) - 1


def grain_field(height: int, width: int, *, size: float, channels: int, seed: int) -> Tensor:
    """Noise [channels, height, width] of mean 0 and deviation 1 whose grains are about `size` pixels wide.

    Drawn on the CPU by a generator of its own, so the same arguments give the same numbers everywhere.
    """
    rows, columns = max(2, math.ceil(height / size)), max(2, math.ceil(width / size))
    generator = torch.Generator("cpu").manual_seed(seed & MASK64)
    noise = torch.randn((1, channels, rows, columns), generator=generator)
    if (rows, columns) != (height, width):
        noise = F.interpolate(noise, size=(height, width), mode="bicubic", align_corners=False)
    noise = noise - noise.mean(dim=(2, 3), keepdim=True)
    return (noise / noise.std(dim=(2, 3), keepdim=True).clamp_min(1e-6))[0]


def tone_weight(luma: Tensor, shadows: float, highlights: float) -> Tensor:
    """How visible grain is at each brightness: 1 in the middle, `shadows` at black, `highlights` at white."""
    dark = shadows + (1.0 - shadows) * (luma / 0.5).clamp(0.0, 1.0)
    bright = highlights + (1.0 - highlights) * ((1.0 - luma) / 0.5).clamp(0.0, 1.0)
    return torch.minimum(dark, bright)


def add_grain(
    image: Tensor, *, amount: float, size: float, colour: float, shadows: float, highlights: float, seed: int
) -> Tensor:
    """`image` [H, W, 3] in 0..1 with grain of deviation `amount`/4 at mid-grey."""
    height, width, _ = image.shape
    mono = grain_field(height, width, size=size, channels=1, seed=seed)
    chroma = grain_field(height, width, size=size, channels=3, seed=seed + 1) if colour > 0 else mono
    # Mixed by squares, so that the strength of the grain does not depend on how coloured it is.
    field = math.sqrt(1.0 - colour) * mono + math.sqrt(colour) * chroma
    luma = image @ image.new_tensor([0.2126, 0.7152, 0.0722])
    weight = tone_weight(luma, shadows, highlights)[..., None]
    grain = field.permute(1, 2, 0).to(image.device, image.dtype)
    return (image + 0.25 * amount * weight * grain).clamp(0.0, 1.0)
