"""How noise is measured: what a network predicts at a noise level, and which levels to visit.

A ``Parametrisation`` is a value. It knows the noise levels (sigmas) that the network was trained on, how a
noisy latent is scaled for it, and how its answer becomes the clean latent. Samplers see none of this.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from noderack_diffusion.betaquantile import quantile
from noderack_diffusion.errors import MismatchError, UnknownNameError

ENDLESS = 999999999.9
"""Stands for "before the first step" where a noise level is wanted."""


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """The noise levels of training and the times that a network knows them by."""

    table: Tensor
    """Sigmas in rising order, fp32 on the CPU."""
    time: Callable[[Tensor], Tensor]
    """Sigma -> the time that the network is given."""
    sigma: Callable[[Tensor], Tensor]
    """Time -> sigma."""
    percent: Callable[[float], float]
    """How far the sampling has gone (0..1) -> sigma."""


def scaled_linear(
    start: float = 0.00085, end: float = 0.012, steps: int = 1000, *, zero_snr: bool = False
) -> Times:
    """The times of Stable Diffusion: betas whose square roots rise linearly.

    ``zero_snr`` stretches them so that the last step is (nearly) pure noise.
    """
    betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    kept = torch.cumprod(1.0 - betas, dim=0)
    if zero_snr:
        kept = without_signal(kept)
    return discrete(((1.0 - kept) / kept) ** 0.5)


def without_signal(kept: Tensor) -> Tensor:
    """How much of the signal each time keeps, so that the last keeps (nearly) none (Lin et al., 2023)."""
    roots = kept.sqrt()
    kept = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
    kept[-1] = 4.8973451890853435e-08
    return kept


@lru_cache(maxsize=4)
def squared_cosine(steps: int = 1000) -> Tensor:
    """How much of the signal's power is left at each time of the squared-cosine process (Nichol and
    Dhariwal, 2021), fp32.
    """
    at = torch.arange(steps + 1, dtype=torch.float64) / steps
    curve = torch.cos((at + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.cumprod((curve[1:] / curve[:-1]).clamp(min=0.001), dim=0).float()


def discrete(sigmas: Tensor) -> Times:
    """Times that number the rows of a table of sigmas; between rows, log sigma is interpolated."""
    table, logs, last = sigmas.float(), sigmas.log().float(), len(sigmas) - 1

    def time(sigma: Tensor) -> Tensor:
        distance = sigma.float().cpu().log() - logs[:, None]
        return distance.abs().argmin(dim=0).view(sigma.shape).to(sigma.device)

    def sigma(t: Tensor) -> Tensor:
        t = t.float().cpu().clamp(0, last)
        low, high, weight = t.floor().long(), t.ceil().long(), t.frac()
        return ((1 - weight) * logs[low] + weight * logs[high]).exp()

    def percent(p: float) -> float:
        return _ends(p, ENDLESS, lambda: float(sigma(torch.tensor((1.0 - p) * last))))

    return Times(table, time, sigma, percent)


def _ends(p: float, first: float, between: Callable[[], float]) -> float:
    if p <= 0.0:
        return first
    return 0.0 if p >= 1.0 else between()


def flow(shift: float = 1.0, multiplier: float = 1000.0, steps: int = 1000) -> Times:
    """The times of a flow model whose sigmas are shifted by ``shift t / (1 + (shift - 1) t)``."""

    def shifted(t: Tensor) -> Tensor:
        return shift * t / (1 + (shift - 1) * t)

    table = shifted((torch.arange(1, steps + 1) / steps) * multiplier / multiplier)
    return Times(
        table,
        lambda sigma: sigma * multiplier,
        lambda t: shifted(t / multiplier),
        lambda p: _ends(p, 1.0, lambda: shift * (1.0 - p) / (1 + (shift - 1) * (1.0 - p))),
    )


def flux(mu: float = 1.15, steps: int = 10000) -> Times:
    """The times of Flux: an exponential shift by ``mu``; the network is given sigma itself."""

    def shifted(t: Tensor) -> Tensor:
        return math.exp(mu) / (math.exp(mu) + (1 / t - 1))

    def percent(p: float) -> float:
        return _ends(p, 1.0, lambda: math.exp(mu) / (math.exp(mu) + (1 / (1.0 - p) - 1)))

    return Times(shifted(torch.arange(1, steps + 1) / steps), lambda sigma: sigma, shifted, percent)


def continuous_edm(low: float = 0.002, high: float = 80.0, steps: int = 1000) -> Times:
    """The times of EDM: a quarter of log sigma, over log-spaced sigmas."""
    table = torch.linspace(math.log(low), math.log(high), steps).exp()

    def percent(p: float) -> float:
        span = math.log(high) - math.log(low)
        return _ends(p, ENDLESS, lambda: math.exp((1.0 - p) * span + math.log(low)))

    return Times(table, lambda sigma: 0.25 * sigma.log(), lambda t: (t / 0.25).exp(), percent)


def continuous_angle(low: float = 0.03, high: float = 500.0, steps: int = 1000) -> Times:
    """Log-spaced sigmas, known to the network by the angle between signal and noise (1: noise alone)."""
    logs = continuous_edm(low, high, steps)
    quarter = math.pi / 2
    return Times(
        logs.table, lambda sigma: sigma.atan() / quarter, lambda t: (t * quarter).tan(), logs.percent
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """What a network predicts, as formulas over (x, its output, sigma, data deviation)."""

    scale: Callable[[Tensor, Tensor, float], Tensor]
    clean: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    flow: bool = False


def _unit(x: Tensor, sigma: Tensor, data: float) -> Tensor:
    return x / (sigma**2 + data**2) ** 0.5


def _v(x: Tensor, out: Tensor, s: Tensor, data: float) -> Tensor:
    total = s**2 + data**2
    return x * data**2 / total - out * s * data / total**0.5


def _edm(x: Tensor, out: Tensor, s: Tensor, data: float) -> Tensor:
    total = s**2 + data**2
    return x * data**2 / total + out * s * data / total**0.5


KINDS: Mapping[str, Kind] = {
    "eps": Kind(_unit, lambda x, out, s, data: x - out * s),
    "v": Kind(_unit, _v),
    "edm": Kind(_unit, _edm),
    "x0": Kind(_unit, lambda x, out, s, data: out),
    "plain": Kind(lambda x, s, data: x, lambda x, out, s, data: out),
    "flow": Kind(lambda x, s, data: x, lambda x, out, s, data: x - out * s, flow=True),
}


@dataclass(frozen=True, eq=False)
class Parametrisation:
    """A kind of prediction over the times of training."""

    kind: str = "eps"
    times: Times = field(default_factory=scaled_linear)
    data: float = 1.0

    @property
    def flow(self) -> bool:
        """Whether noise is mixed in (flow) rather than added."""
        return KINDS[self.kind].flow

    @cached_property
    def sigma_min(self) -> float:
        """The least sigma of training."""
        return float(self.times.table[0])

    @cached_property
    def sigma_max(self) -> float:
        """The greatest sigma of training."""
        return float(self.times.table[-1])

    def input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """``x`` as the network wants it. ``sigma`` is ``[B]``."""
        return KINDS[self.kind].scale(x, _wide(sigma, x), self.data)

    def clean(self, x: Tensor, out: Tensor, sigma: Tensor) -> Tensor:
        """The clean latent that the network's output means."""
        return KINDS[self.kind].clean(x, out, _wide(sigma, x), self.data)

    def noised(self, sigma: float, noise: Tensor, latent: Tensor, *, full: bool = False) -> Tensor:
        """``latent`` at noise level ``sigma``; ``full``: the first step of a whole run, where no latent
        shows.
        """
        if self.flow:
            return sigma * noise + (1.0 - sigma) * latent
        return noise * ((1.0 + sigma**2) ** 0.5 if full else sigma) + latent

    def finished(self, sigma: float, x: Tensor) -> Tensor:
        """The latent that ``x`` at the last sigma stands for."""
        return x / (1.0 - sigma) if self.flow else x

    def is_full(self, sigma: float) -> bool:
        """Whether a run that starts at ``sigma`` starts from pure noise."""
        return sigma > self.sigma_max or math.isclose(sigma, self.sigma_max, rel_tol=1e-5)


def _wide(sigma: Tensor, x: Tensor) -> Tensor:
    return sigma.view(sigma.shape[:1] + (1,) * (x.dim() - 1))


@lru_cache(maxsize=32)
def standard(
    kind: str = "eps", zero_snr: bool = False, betas: tuple[float, float] = (0.00085, 0.012)
) -> Parametrisation:
    """Stable Diffusion's parametrisation, predicting ``kind``."""
    return Parametrisation(kind, scaled_linear(*betas, zero_snr=zero_snr))


# Schedules: how many steps -> sigmas in falling order, the last one 0.


def _simple(p: Parametrisation, n: int) -> list[float]:
    table, stride = p.times.table, len(p.times.table) / n
    return [*(float(table[-(1 + int(i * stride))]) for i in range(n)), 0.0]


def _uniform(p: Parametrisation, n: int, *, drop_last: bool) -> list[float]:
    first, last = (float(p.times.time(torch.tensor([s]))[0]) for s in (p.sigma_max, p.sigma_min))
    if drop_last:
        points = torch.linspace(first, last, n + 1)[:-1]
    elif math.isclose(float(p.times.sigma(torch.tensor(last))), 0.0, abs_tol=1e-5):
        return [float(p.times.sigma(t)) for t in torch.linspace(first, last, n + 1)]
    else:
        points = torch.linspace(first, last, n)
    return [*(float(p.times.sigma(t)) for t in points), 0.0]


def _sgm_uniform(p: Parametrisation, n: int) -> list[float]:
    return _uniform(p, n, drop_last=True)


def _normal(p: Parametrisation, n: int) -> list[float]:
    return _uniform(p, n, drop_last=False)


def karras(low: float, high: float, n: int, rho: float = 7.0) -> list[float]:
    """Sigmas evenly spaced in their ``rho``-th root, then 0."""
    ramp = torch.linspace(0, 1, n)
    first, last = high ** (1 / rho), low ** (1 / rho)
    return [*((first + ramp * (last - first)) ** rho).tolist(), 0.0]


def exponential(low: float, high: float, n: int) -> list[float]:
    """Sigmas evenly spaced in their logarithm, then 0."""
    return [*torch.linspace(math.log(high), math.log(low), n).exp().tolist(), 0.0]


def _ddim_uniform(p: Parametrisation, n: int) -> list[float]:
    table = p.times.table
    if starts_at_zero := math.isclose(float(table[1]), 0.0, abs_tol=1e-5):
        n += 1
    found = table[1 :: max(len(table) // n, 1)].flip(0).tolist()
    return found if starts_at_zero else [*found, 0.0]


def beta(p: Parametrisation, n: int, a: float = 0.6, b: float = 0.6) -> list[float]:
    """Steps spaced by the quantiles of Beta(a, b) over the table; steps that coincide are taken once."""
    last = len(p.times.table) - 1
    rows = [round(quantile(1.0 - i / n, a, b) * last) for i in range(n)]
    return [*(float(p.times.table[row]) for row in dict.fromkeys(rows)), 0.0]


def linear_quadratic(p: Parametrisation, n: int, threshold: float = 0.025) -> list[float]:
    """Half of the steps fall linearly by ``threshold``, the others quadratically to 0."""
    if n == 1:
        return [p.sigma_max, 0.0]
    half = n // 2
    rest, gap = n - half, half - threshold * n
    square = gap / (half * rest**2)
    slope = threshold / half - 2 * gap / rest**2
    rise = [i * threshold / half for i in range(half)]
    rise += [square * i**2 + slope * i + square * half**2 for i in range(half, n)]
    return [(1.0 - r) * p.sigma_max for r in rise] + [0.0]


def _kl_optimal(p: Parametrisation, n: int) -> list[float]:
    if n == 1:
        return [p.sigma_max, 0.0]
    part = torch.arange(n, dtype=torch.float32) / (n - 1)
    return [*(part * math.atan(p.sigma_min) + (1 - part) * math.atan(p.sigma_max)).tan().tolist(), 0.0]


SCHEDULERS: Mapping[str, Callable[[Parametrisation, int], list[float]]] = {
    "simple": _simple,
    "sgm_uniform": _sgm_uniform,
    "karras": lambda p, n: karras(p.sigma_min, p.sigma_max, n),
    "exponential": lambda p, n: exponential(p.sigma_min, p.sigma_max, n),
    "ddim_uniform": _ddim_uniform,
    "beta": beta,
    "normal": _normal,
    "linear_quadratic": linear_quadratic,
    "kl_optimal": _kl_optimal,
}
"""Schedules by the names that workflows use."""

MOST_STEPS = 1_000_000
DROPS_PENULTIMATE = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})
"""Samplers that are given a schedule one step longer, without its last but one sigma."""


def schedule(
    p: Parametrisation, scheduler: str, steps: int, denoise: float = 1.0, sampler: str = ""
) -> list[float]:
    """The sigmas of a run: ``steps + 1`` of them, the last one 0 (empty if ``denoise`` is 0 or less).

    With ``denoise`` below 1 a longer schedule is made and its last ``steps + 1`` sigmas are taken.
    """
    if scheduler not in SCHEDULERS:
        raise UnknownNameError("scheduler", scheduler, tuple(SCHEDULERS))
    if denoise <= 0.0 or steps < 1:
        return []
    if not steps / denoise <= MOST_STEPS:
        raise MismatchError(
            f"{steps} steps at denoise {denoise} are the last of a schedule of more than {MOST_STEPS}; "
            "take a larger denoise or fewer steps"
        )
    total = steps if denoise > 0.9999 else int(steps / denoise)
    if sampler in DROPS_PENULTIMATE:
        longer = SCHEDULERS[scheduler](p, total + 1)
        sigmas = [*longer[:-2], longer[-1]]
    else:
        sigmas = SCHEDULERS[scheduler](p, total)
    return sigmas if total == steps else sigmas[-(steps + 1) :]
