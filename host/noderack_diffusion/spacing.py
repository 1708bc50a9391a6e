"""Schedules that are not asked of a model by name: from numbers alone, or from a published table.

All give falling sigmas that end in 0, but ``laplace``, which ends where it is told to.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import torch

from noderack_diffusion.errors import UnknownNameError
from noderack_diffusion.gits import CHOICES, FEWEST, LEVELS, MOST
from noderack_diffusion.sigma import Parametrisation

ALIGN_YOUR_STEPS: Mapping[str, tuple[float, ...]] = {
    "SD1": (
        *(14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092),
        *(0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582),
    ),
    "SDXL": (
        *(14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141),
        *(0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582),
    ),
    "SVD": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}
"""Optimised for ten steps (Sabour et al., "Align Your Steps", 2024, as its authors published them)."""

CURVES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "cosine": lambda x: math.sin(x * math.pi / 2),
    "sine": lambda x: 1 - math.cos(x * math.pi / 2),
}
"""How ``between`` spaces what it puts between two sigmas."""


def polyexponential(low: float, high: float, n: int, rho: float = 1.0) -> list[float]:
    """Sigmas whose logarithm falls as the ``rho``-th power of a line (k-diffusion)."""
    ramp = torch.linspace(1, 0, n) ** rho
    return [*(ramp * (math.log(high) - math.log(low)) + math.log(low)).exp().tolist(), 0.0]


def laplace(low: float, high: float, n: int, mu: float = 0.0, beta: float = 0.5) -> list[float]:
    """Sigmas at the quantiles of a Laplace distribution of their logarithm (Hang et al., 2024)."""
    x = torch.linspace(0, 1, n)
    logs = mu - beta * torch.sign(0.5 - x) * torch.log(1 - 2 * (0.5 - x).abs() + 1e-5)
    return logs.exp().clamp(low, high).tolist()


def variance_preserving(
    n: int, beta_d: float = 19.9, beta_min: float = 0.1, eps: float = 1e-3
) -> list[float]:
    """Sigmas of the continuous variance-preserving process (Song et al., 2021)."""
    t = torch.linspace(1, eps, n)
    return [*torch.expm1(beta_d * t**2 / 2 + beta_min * t).sqrt().tolist(), 0.0]


def turbo(p: Parametrisation, n: int, denoise: float = 1.0) -> list[float]:
    """Every hundredth time of training, as models distilled to a few steps want them."""
    first = 10 - int(10 * denoise)
    times = torch.arange(1, 11).flip(0)[first : first + n] * 100 - 1
    return [*p.times.sigma(times).tolist(), 0.0]


def align_your_steps(model: str, n: int, denoise: float = 1.0) -> list[float]:
    """The table of ``model``, between its rows interpolated in the logarithm. Raises UnknownNameError."""
    if model not in ALIGN_YOUR_STEPS:
        raise UnknownNameError("table of steps", model, tuple(ALIGN_YOUR_STEPS))
    return cut(resampled(ALIGN_YOUR_STEPS[model], n + 1), n, denoise)


def gits(coefficient: float, n: int, denoise: float = 1.0) -> list[float]:
    """The table of that coefficient (0.8, 0.85 … 1.5), beyond 20 steps interpolated in the logarithm."""
    found = round(coefficient, 2)
    if found not in CHOICES:
        raise UnknownNameError("coefficient", str(found), tuple(map(str, CHOICES)))
    steps = min(n, MOST)
    start = sum(range(FEWEST + 1, steps + 1)) * 2
    chosen = CHOICES[found][start : start + (steps + 1) * 2]
    sigmas = [LEVELS[int(chosen[i : i + 2])] for i in range(0, len(chosen), 2)]
    return cut(resampled(sigmas, n + 1), n, denoise)


def resampled(sigmas: Sequence[float], points: int) -> list[float]:
    """As many sigmas as wanted along the same curve, its logarithm taken as straight between two."""
    if points == len(sigmas):
        return list(sigmas)
    last = len(sigmas) - 1
    places = [i * last / (points - 1) for i in range(points)]
    logs = [math.log(s) for s in sigmas]
    lows = [min(int(place), last - 1) for place in places]
    return [
        math.exp(logs[i] + (place - i) * (logs[i + 1] - logs[i]))
        for i, place in zip(lows, places, strict=True)
    ]


def cut(sigmas: Sequence[float], n: int, denoise: float) -> list[float]:
    """The end of ``n`` steps that ``denoise`` asks for, down to 0; nothing if it asks for none."""
    if denoise <= 0.0:
        return []
    kept = n if denoise >= 1.0 else round(n * denoise)
    return [*sigmas[-(kept + 1) : -1], 0.0]


def between(sigmas: Sequence[float], parts: int, high: float, low: float, curve: str) -> list[float]:
    """Each step that begins between ``high`` and ``low`` made of ``parts`` steps, spaced by ``curve``."""
    spaces = [CURVES[curve](i / parts) for i in range(1, parts)]
    found: list[float] = []
    for now, then in itertools.pairwise(sigmas):
        found.append(now)
        if low <= now <= high:
            found += [now + space * (then - now) for space in spaces]
    return [*found, *sigmas[-1:]]
