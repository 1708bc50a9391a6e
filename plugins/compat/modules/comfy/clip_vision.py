"""`comfy.clip_vision`: pictures as CLIP sees them."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.vision import MEAN, SPREAD, normalised
from noderack_diffusion.vision import Seen as Output
from noderack_diffusion.vision import Vision as ClipVisionModel
from noderack_diffusion.vision import load_vision as _load

__getattr__ = gap(__name__)
__all__ = ["ClipVisionModel", "Output", "clip_preprocess", "load"]


def load(ckpt_path: str) -> ClipVisionModel:
    """The image tower of a file."""
    return _load(ckpt_path)


def load_clipvision_from_sd(sd: Any, prefix: str = "", convert_keys: bool = False) -> ClipVisionModel:
    """An image tower of tensors in memory."""
    from noderack_compat.loras import in_a_file

    cut = {name.removeprefix(prefix): value for name, value in sd.items() if name.startswith(prefix)}
    return in_a_file(cut, load)


def clip_preprocess(
    image: Any, size: int = 224, mean: Any = MEAN, std: Any = SPREAD, crop: bool = True
) -> Any:
    """Pictures [B, H, W, C] in 0..1 as a tower wants them, [B, 3, size, size]."""
    import torch

    ready = normalised(image, size, crop=crop)
    if tuple(mean) == MEAN and tuple(std) == SPREAD:
        return ready
    own_mean, own_spread, mean, std = (
        torch.tensor(list(values)).view(1, 3, 1, 1).to(ready) for values in (MEAN, SPREAD, mean, std)
    )
    return (ready * own_spread + own_mean - mean) / std
