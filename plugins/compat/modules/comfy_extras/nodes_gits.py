"""`comfy_extras.nodes_gits`: noise levels that fit a path's bends."""

from __future__ import annotations

from noderack_compat.missing import gap
from noderack_diffusion.gits import CHOICES, FEWEST, MOST
from noderack_diffusion.spacing import gits as _levels

__getattr__ = gap(__name__)

NOISE_LEVELS: dict[float, list[list[float]]] = {
    coefficient: [_levels(coefficient, steps) for steps in range(FEWEST, MOST + 1)] for coefficient in CHOICES
}
