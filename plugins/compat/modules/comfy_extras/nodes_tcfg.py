"""`comfy_extras.nodes_tcfg`: guidance with the negative's odd direction taken out."""

from __future__ import annotations

from noderack_compat.missing import gap
from noderack_diffusion.corrections import undamped
from torch import Tensor

__getattr__ = gap(__name__)


def score_tangential_damping(cond_score: Tensor, uncond_score: Tensor) -> Tensor:
    """The negative's score without what both do not share."""
    import torch

    return undamped(cond_score, uncond_score, torch.zeros_like(cond_score))
