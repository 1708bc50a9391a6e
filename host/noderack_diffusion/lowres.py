"""The small picture that the upscaler of Stable Diffusion 2 draws large, and how much noise is put on it.

Some noise lets it invent more. How much there is the network is told as the number of a label.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from noderack_diffusion.sigma import scaled_linear
from noderack_diffusion.unclip import SEED_SHIFT

LEVELS = 350
"""The most noise, as a time of the process."""
BETAS = (0.0001, 0.02)


def level_of(entry: Mapping[str, Any]) -> int:
    """The label of a conditioning entry, from its "noise_augmentation" in 0..1."""
    return round(LEVELS * float(entry.get("noise_augmentation", 0.0)))


def noised(picture: Tensor, level: int, seed: int) -> Tensor:
    """``picture [B, 3, h, w]`` in -1..1 with the noise of a level, drawn from the run's seed."""
    sigma = float(scaled_linear(*BETAS).table[level])
    generator = torch.Generator().manual_seed(seed + SEED_SHIFT)
    noise = torch.randn(picture.shape, dtype=picture.dtype, generator=generator).to(picture.device)
    mixed: Tensor = (picture + noise * sigma) / math.sqrt(1.0 + sigma**2)
    return mixed
