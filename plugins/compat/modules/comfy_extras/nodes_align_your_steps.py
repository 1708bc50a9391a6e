"""`comfy_extras.nodes_align_your_steps`: noise levels from a table, as many as wanted."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.spacing import ALIGN_YOUR_STEPS as NOISE_LEVELS
from noderack_diffusion.spacing import resampled

__getattr__ = gap(__name__)
__all__ = ["NOISE_LEVELS", "loglinear_interp"]


def loglinear_interp(t_steps: Any, num_steps: int) -> Any:
    """So many falling numbers along the same curve, as an array."""
    import numpy

    return numpy.array(resampled([float(step) for step in t_steps], num_steps))
