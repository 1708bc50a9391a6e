"""`comfy.ldm.flux.layers`: layers of Flux's network."""

from __future__ import annotations

from noderack_compat.missing import gap
from noderack_diffusion.ops import timestep_embedding as _embedding
from torch import Tensor

__getattr__ = gap(__name__)


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10000, time_factor: float = 1000.0) -> Tensor:
    """Times in 0..1 as `[B, dim]`."""
    return _embedding(time_factor * t, dim, max_period).to(t)
