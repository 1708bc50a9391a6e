"""Latent consistency models: a network taught to answer with the clean latent, at fifty of the times."""

from dataclasses import dataclass

import torch
from torch import Tensor

from noderack_diffusion.sigma import Parametrisation, Times, discrete, scaled_linear

STEPS = 50
"""How many times the teacher's thousand were thinned out to (Luo et al., 2023)."""
_DATA = 0.5
_TIME_SCALE = 10.0


@dataclass(frozen=True, eq=False)
class Distilled(Parametrisation):
    """As ``eps``, the answer mixed with the input by how far the time is from zero."""

    def clean(self, x: Tensor, out: Tensor, sigma: Tensor) -> Tensor:
        """The boundary condition of consistency models: at time 0 the input itself."""
        wide = sigma.view(sigma.shape[:1] + (1,) * (x.dim() - 1))
        time = self.times.time(sigma).view(wide.shape) * _TIME_SCALE
        total = time**2 + _DATA**2
        return _DATA**2 / total * x + time / total**0.5 * (x - out * wide)


def distilled(*, zero_snr: bool = False) -> Distilled:
    """The parametrisation of a latent consistency model."""
    return Distilled("eps", thinned(scaled_linear(zero_snr=zero_snr), STEPS))


def thinned(times: Times, steps: int) -> Times:
    """Every so manieth row of a table, known to the network by its number in the whole table."""
    every = len(times.table) // steps
    few = discrete(times.table[every - 1 :: every])

    def time(sigma: Tensor) -> Tensor:
        return few.time(sigma) * every + (every - 1)

    def sigma(t: Tensor) -> Tensor:
        return few.sigma((torch.as_tensor(t).float() - (every - 1)) / every)

    def percent(p: float) -> float:
        return times.percent(p) if p in (0.0, 1.0) else float(sigma(torch.tensor((1.0 - p) * 999.0)))

    return Times(few.table, time, sigma, percent)
