"""What a sampler works with, and the few formulas that samplers share."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from noderack_diffusion.noise import Noise
from noderack_diffusion.sigma import Parametrisation

Denoise = Callable[[Tensor, float], Tensor]
OnStep = Callable[[int, int, Tensor, Tensor], None]
"""Called once per step with (step, steps, clean latent, x); may raise to stop the run."""


def unseen(step: int, clean: Tensor, x: Tensor) -> None:
    """Reports nothing."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a sampler works with."""

    denoise: Denoise
    """(x, sigma) -> clean latent."""
    noise: Noise
    param: Parametrisation
    with_uncond: Callable[[Tensor, float], tuple[Tensor, Tensor]] | None = None
    """(x, sigma) -> (clean latent, clean latent without the prompt), for the cfg++ samplers."""
    seen: Callable[[int, Tensor, Tensor], None] = unseen

    def both(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """The clean latent, and the one without the prompt (the same, where there is no guidance)."""
        if self.with_uncond is None:
            clean = self.denoise(x, sigma)
            return clean, clean
        return self.with_uncond(x, sigma)

    def brownian(
        self, like: Tensor, sigmas: Sequence[float], *, on_cpu: bool
    ) -> Callable[[float, float], Tensor]:
        """Noise for the steps of a run, the same for an interval however the run is cut."""
        least = min(s for s in sigmas if s > 0)
        return self.noise.brownian(like, least, max(sigmas), on_cpu=on_cpu)

    def snr(self, sigma: Tensor) -> Tensor:
        """Half the logarithm of the signal-to-noise ratio at ``sigma``."""
        return -sigma.logit() if self.param.flow else -sigma.log()

    def sigma(self, snr: Tensor) -> Tensor:
        """The sigma of a half log-SNR."""
        return (-snr).sigmoid() if self.param.flow else (-snr).exp()

    def bounded(self, sigmas: Sequence[float]) -> Tensor:
        """Sigmas whose log-SNR is finite: a flow's first sigma of 1 is moved down a little."""
        values = torch.tensor(list(sigmas), dtype=torch.float32)
        if self.param.flow and len(values) > 1 and values[0] >= 1.0:
            values[0] = self.param.times.percent(1e-4)
        return values


Sampler = Callable[[Task, Tensor, Sequence[float]], Tensor]


def steps(sigmas: Sequence[float]) -> Iterator[tuple[int, float, float]]:
    """(number, sigma, next sigma) of each step."""
    return ((i, now, then) for i, (now, then) in enumerate(itertools.pairwise(sigmas)))


def slope(x: Tensor, clean: Tensor, sigma: float) -> Tensor:
    """The derivative of x by sigma."""
    return (x - clean) / sigma


def ancestral(now: float, then: float, eta: float = 1.0) -> tuple[float, float]:
    """How far down to step, and how much noise to add, so as to arrive at ``then``."""
    if not eta:
        return then, 0.0
    up = min(then, eta * math.sqrt(max(then**2 * (now**2 - then**2) / now**2, 0.0)))
    return math.sqrt(max(then**2 - up**2, 0.0)), up


def ancestral_flow(now: float, then: float, eta: float = 1.0) -> tuple[float, float, float]:
    """For flows: how far down to step, what to shrink by, and how much noise to add."""
    down = then * (1 + (then / now - 1) * eta)
    shrink = (1 - then) / (1 - down)
    return down, shrink, math.sqrt(max(then**2 - down**2 * shrink**2, 0.0))
