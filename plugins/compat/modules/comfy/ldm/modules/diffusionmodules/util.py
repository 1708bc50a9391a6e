"""`comfy.ldm.modules.diffusionmodules.util`: small things that networks are made of."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.ops import timestep_embedding as _embedding
from torch import nn

__getattr__ = gap(__name__)


def timestep_embedding(timesteps: Any, dim: int, max_period: float = 10000, repeat_only: bool = False) -> Any:
    return _embedding(timesteps, dim, max_period)


def zero_module(module: nn.Module) -> nn.Module:
    """The module with all its parameters 0."""
    for parameter in module.parameters():
        parameter.detach().zero_()
    return module


def avg_pool_nd(dims: int, *args: Any, **kwargs: Any) -> nn.Module:
    return {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}[dims](*args, **kwargs)


def checkpoint(func: Any, inputs: Any, params: Any, flag: bool) -> Any:
    """Runs `func`; activations are always kept, as nothing is trained here."""
    return func(*inputs)
