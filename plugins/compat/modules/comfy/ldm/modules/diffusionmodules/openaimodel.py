"""`comfy.ldm.modules.diffusionmodules.openaimodel`: the U-Net and its layers."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.ops import timestep_embedding as _embedding
from noderack_diffusion.unet import Downsample, ResBlock, SpatialTransformer, Upsample
from noderack_diffusion.unet import Stage as TimestepEmbedSequential
from noderack_diffusion.unet import UNet as UNetModel
from torch import nn

__getattr__ = gap(__name__)
__all__ = ["Downsample", "ResBlock", "SpatialTransformer", "TimestepEmbedSequential", "UNetModel", "Upsample"]


class TimestepBlock(nn.Module):
    """A layer that is given the time embedding."""


def timestep_embedding(timesteps: Any, dim: int, max_period: float = 10000, repeat_only: bool = False) -> Any:
    return _embedding(timesteps, dim, max_period)


def apply_control(h: Any, control: Any, name: str) -> Any:
    """Adds the next of a control network's residuals."""
    rows = (control or {}).get(name) or []
    extra = rows.pop() if rows else None
    return h if extra is None else h + extra
