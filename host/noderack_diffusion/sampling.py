"""Samplers: ways down the noise levels from noise to picture.

A sampler is a function of (task, x, sigmas) -> x. ``task.denoise(x, sigma)`` answers with the clean latent
that the model sees in ``x``; no sampler asks what the network predicts. A new sampler is a function and a row
below.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from noderack_diffusion.errors import UnknownNameError
from noderack_diffusion.noise import Noise
from noderack_diffusion.sigma import Parametrisation

Denoise = Callable[[Tensor, float], Tensor]
OnStep = Callable[[int, int, Tensor, Tensor], None]
"""Called after each evaluation that ends a step with (step, steps, clean latent, x)."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a sampler works with."""

    denoise: Denoise
    """(x, sigma) -> clean latent."""
    noise: Noise
    param: Parametrisation
    with_uncond: "Callable[[Tensor, float], tuple[Tensor, Tensor]] | None" = None
    """(x, sigma) -> (clean latent, clean latent without the prompt), for the cfg++ samplers."""
    seen: Callable[[int, Tensor, Tensor], None] = field(default=lambda step, clean, x: None)


Sampler = Callable[[Task, Tensor, Sequence[float]], Tensor]


def slope(x: Tensor, clean: Tensor, sigma: float) -> Tensor:
    """The derivative of x by sigma."""
    return (x - clean) / sigma


def euler(task: Task, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Straight steps along the slope."""
    for i, (now, then) in enumerate(itertools.pairwise(sigmas)):
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        x = x + slope(x, clean, now) * (then - now)
    return x


def dpmpp_2m(task: Task, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """DPM-Solver++ (2M): second order from the clean latents of this step and the last, in -log sigma."""
    before: Tensor | None = None
    past = 0.0
    for i, (now, then) in enumerate(itertools.pairwise(sigmas)):
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        h = math.inf if then == 0 else math.log(now / then)
        guess = clean
        if before is not None and then > 0:
            ratio = past / h
            guess = clean * (1 + 1 / (2 * ratio)) - before * (1 / (2 * ratio))
        x = (then / now) * x - math.expm1(-h) * guess
        before, past = clean, h
    return x


SAMPLERS: Mapping[str, Sampler] = {
    "euler": euler,
    "dpmpp_2m": dpmpp_2m,
    "ddim": euler,
}
"""Samplers by the names that workflows use."""

FRESH_MASK_NOISE = frozenset({"ddim"})
"""Samplers under which the masked-out part is noised afresh instead of with the initial noise."""


def sampler(name: str) -> Sampler:
    """The sampler of that name; raises UnknownNameError."""
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, tuple(SAMPLERS))
    return SAMPLERS[name]
