"""Samplers that follow the slope dx/dsigma: Euler and Heun, their ancestral kin, and Adams multistep
methods.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from noderack_diffusion.task import Task, ancestral, ancestral_flow, slope, steps

MOST_CHURN = math.sqrt(2.0) - 1.0


def _stirrer(
    task: Task, x: Tensor, sigmas: Sequence[float], s_churn: float, s_tmin: float, s_tmax: float
) -> Callable[[Tensor, float], tuple[Tensor, float]]:
    """Noise that is added before a step, which then starts from further up (Karras et al., 2022): ``s_churn``
    over all steps, between ``s_tmin`` and ``s_tmax``. It goes on from that of the run's start.
    """
    share = min(s_churn / max(1, len(sigmas) - 1), MOST_CHURN)
    if share > 0:
        task.noise.initial(x)

    def stirred(x: Tensor, now: float) -> tuple[Tensor, float]:
        if share <= 0 or not s_tmin <= now <= s_tmax:
            return x, now
        above = now * (1 + share)
        drawn = task.noise.stream(x) * task.noise.strength
        return x + drawn * math.sqrt(above**2 - now**2), above

    return stirred


def euler(
    task: Task,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
) -> Tensor:
    """Straight steps along the slope."""
    stirred = _stirrer(task, x, sigmas, s_churn, s_tmin, s_tmax)
    for i, level, then in steps(sigmas):
        x, now = stirred(x, level)
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        x = x + slope(x, clean, now) * (then - now)
    return x


def euler_ancestral(task: Task, x: Tensor, sigmas: Sequence[float], *, eta: float = 1.0) -> Tensor:
    """Steps further down than asked, then adds noise to come back up."""
    draw = task.noise.ancestral(x)
    for i, now, then in steps(sigmas):
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        if then == 0:
            x = clean
        elif task.param.flow:
            down, shrink, up = ancestral_flow(now, then, eta)
            x = shrink * ((down / now) * x + (1 - down / now) * clean) + draw() * up
        else:
            down, up = ancestral(now, then, eta)
            x = x + slope(x, clean, now) * (down - now) + draw() * up
    return x


def euler_ancestral_cfg_pp(task: Task, x: Tensor, sigmas: Sequence[float], *, eta: float = 1.0) -> Tensor:
    """CFG++: goes to the guided clean latent, and back up along the unguided slope."""
    draw = task.noise.ancestral(x)
    for i, now, then in steps(sigmas):
        clean, plain = task.both(x, now)
        task.seen(i, clean, x)
        if then == 0:
            x = clean
            continue
        kept, keeps = (1 - now, 1 - then) if task.param.flow else (1.0, 1.0)
        down, up = then / keeps, 0.0
        if eta:
            down, up = ancestral(now / kept if kept else math.inf, then / keeps, eta)
        x = keeps * clean + keeps * down * slope(x, kept * plain, now) + keeps * up * draw()
    return x


def euler_bent(task: Task, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Straight steps along the guided slope, bent by what guidance added to the clean latent."""
    for i, now, then in steps(sigmas):
        clean, plain = task.both(x, now)
        task.seen(i, clean, x)
        x = x + slope(x - clean + plain, clean, now) * (then - now)
    return x


def heun(
    task: Task,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
) -> Tensor:
    """The mean of the slopes at both ends of each step."""
    stirred = _stirrer(task, x, sigmas, s_churn, s_tmin, s_tmax)
    for i, level, then in steps(sigmas):
        x, now = stirred(x, level)
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        d = slope(x, clean, now)
        if then > 0:
            ahead = x + d * (then - now)
            d = (d + slope(ahead, task.denoise(ahead, then), then)) / 2
        x = x + d * (then - now)
    return x


def heunpp2(task: Task, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Heun's method with up to three slopes, weighted by their sigma."""
    first, last = sigmas[0], sigmas[-1]
    for i, now, then in steps(sigmas):
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        d, ahead, at, weights = slope(x, clean, now), x, now, []
        slopes = [d]
        count = 1 if then == last else 2 if sigmas[i + 2] == last else 3
        for sigma in sigmas[i + 1 : i + count]:
            ahead = ahead + slopes[-1] * (sigma - at)
            slopes.append(slope(ahead, task.denoise(ahead, sigma), sigma))
            weights.append(sigma / (count * first))
            at = sigma
        weights = [1 - sum(weights), *weights]
        mean = sum((w * s for w, s in zip(weights[1:], slopes[1:], strict=True)), weights[0] * d)
        x = x + mean * (then - now)
    return x


def _middle(now: float, then: float) -> float:
    return math.sqrt(now * then)


def dpm_2(
    task: Task,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
) -> Tensor:
    """The slope at the geometric middle of each step."""
    stirred = _stirrer(task, x, sigmas, s_churn, s_tmin, s_tmax)
    for i, level, then in steps(sigmas):
        x, now = stirred(x, level)
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        x = _to(task, x, clean, now, then)
    return x


def _to(task: Task, x: Tensor, clean: Tensor, now: float, then: float) -> Tensor:
    d = slope(x, clean, now)
    if then > 0:
        middle = _middle(now, then)
        half = x + d * (middle - now)
        d = slope(half, task.denoise(half, middle), middle)
    return x + d * (then - now)


def dpm_2_ancestral(task: Task, x: Tensor, sigmas: Sequence[float], *, eta: float = 1.0) -> Tensor:
    """As ``dpm_2``, further down than asked, with noise added to come back up."""
    draw = task.noise.ancestral(x)
    for i, now, then in steps(sigmas):
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        if task.param.flow:
            down, shrink, up = ancestral_flow(now, then, eta)
        else:
            (down, up), shrink = ancestral(now, then, eta), 1.0
        x = _to(task, x, clean, now, down)
        if down > 0:
            x = shrink * x + draw() * up
    return x


def _adams(places: Sequence[float], now: float, then: float) -> list[float]:
    """Integrals from ``now`` to ``then`` of the Lagrange polynomials on ``places``."""
    found = []
    for j, place in enumerate(places):
        polynomial = [1.0]
        for k, other in enumerate(places):
            if k != j:
                raised, width = [0.0, *polynomial], place - other
                low = [other * c for c in [*polynomial, 0.0]]
                polynomial = [(a - b) / width for a, b in zip(raised, low, strict=True)]
        found.append(sum(c * (then ** (n + 1) - now ** (n + 1)) / (n + 1) for n, c in enumerate(polynomial)))
    return found


def lms(task: Task, x: Tensor, sigmas: Sequence[float], *, order: int = 4) -> Tensor:
    """Linear multistep: the last slopes as a polynomial in sigma, integrated exactly."""
    slopes: deque[Tensor] = deque(maxlen=order)
    for i, now, then in steps(sigmas):
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        slopes.appendleft(slope(x, clean, now))
        if then == 0:
            x = clean
            continue
        # Around ``now`` the numbers stay small, and the polynomial exact.
        places = [sigmas[i - k] - now for k in range(len(slopes))]
        x = x + _sum(_adams(places, 0.0, then - now), slopes)
    return x


def _sum(factors: Sequence[float], tensors: Sequence[Tensor] | deque[Tensor]) -> Tensor:
    first, *rest = (f * t for f, t in zip(factors, tensors, strict=True))
    return sum(rest, first)


_EVEN = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def ipndm(task: Task, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Adams-Bashforth up to order 4, as if the steps were even."""
    slopes: deque[Tensor] = deque(maxlen=4)
    for i, now, then in steps(sigmas):
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        slopes.appendleft(slope(x, clean, now))
        x = clean if then == 0 else x + (then - now) * _sum(_EVEN[len(slopes) - 1], slopes)
    return x


def ipndm_v(task: Task, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Adams-Bashforth up to order 4 over the steps as they are (with its authors' coefficients)."""
    slopes: deque[Tensor] = deque(maxlen=4)
    for i, now, then in steps(sigmas):
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        slopes.appendleft(slope(x, clean, now))
        if then == 0:
            x = clean
            continue
        widths = [then - now, *(sigmas[i - k] - sigmas[i - k - 1] for k in range(len(slopes) - 1))]
        x = x + widths[0] * _sum(_uneven(widths), slopes)
    return x


def _uneven(h: Sequence[float]) -> list[float]:
    """Coefficients for the step ``h[0]`` after steps of ``h[1]``, ``h[2]`` ..."""
    if len(h) == 1:
        return [1.0]
    near = h[0] / h[1]
    found = [1 + near / 2, -near / 2, 0.0, 0.0]
    if len(h) > 2:
        two = h[0] + h[1]
        ratio = h[0] * two / (h[1] * (h[1] + h[2]))
        third = (1 - h[0] / (3 * two) * ratio) / 2
        back = h[1] / h[2]
        found = [found[0] + third, found[1] - (1 + back) * third, third * back, 0.0]
    if len(h) > 3:
        all_of, last = two + h[2], h[1] + h[2]
        fourth = ((1 - h[0] / (3 * two)) / 2 + (1 - h[0] / (2 * two)) * h[0] / (6 * all_of)) * (
            h[0] * two * all_of / (h[1] * last * (last + h[3]))
        )
        far = h[1] * last / (h[2] * (h[2] + h[3]))
        found[0] += fourth
        found[1] -= (1 + back + far) * fourth
        found[2] += (back + far * (1 + h[2] / h[3])) * fourth
        found[3] = -fourth * far * h[1] / h[2]
    return found[: len(h)]


def gradient_estimation(task: Task, x: Tensor, sigmas: Sequence[float], *, cfg_pp: bool = False) -> Tensor:
    """Euler's step, with the slope carried on by its last change."""
    before: Tensor | None = None
    for i, now, then in steps(sigmas):
        clean, plain = task.both(x, now) if cfg_pp else (task.denoise(x, now),) * 2
        task.seen(i, clean, x)
        d = slope(x, plain, now)
        if then == 0:
            x = clean
        else:
            x = clean + d * then if cfg_pp else x + d * (then - now)
            if before is not None:
                x = x + (d - before) * (then - now)
        before = d
    return x


def deis(task: Task, x: Tensor, sigmas: Sequence[float], *, order: int = 3) -> Tensor:
    """DEIS: slopes as a polynomial in the time of the variance-preserving process, integrated in its
    table.
    """
    times = _vp_times(torch.tensor(list(sigmas), dtype=torch.float32))
    slopes: deque[Tensor] = deque(maxlen=order)
    for i, now, then in steps(sigmas):
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        slopes.appendleft(slope(x, clean, now))
        if then <= 0 or len(slopes) == 1:
            x = x + (then - now) * slopes[0]
        else:
            places = [times.at[i - k] for k in range(len(slopes))]
            x = x + _sum(times.coefficients(places, times.at[i], times.at[i + 1]), slopes)
    return x


class _vp_times:
    """Sigmas as times of the variance-preserving process with linear betas."""

    POINTS = 10000
    EARLIEST, LEAST, GREATEST = 1e-3, 0.002, 80.0

    def __init__(self, sigmas: Tensor) -> None:
        low, high = math.log(self.LEAST**2 + 1), math.log(self.GREATEST**2 + 1)
        self.rise = 2 * (low / self.EARLIEST - high) / (self.EARLIEST - 1)
        self.start = high - 0.5 * self.rise
        self.at = ((self.start**2 + 2 * self.rise * (sigmas**2 + 1).log()).sqrt() - self.start) / self.rise

    def coefficients(self, places: Sequence[Tensor], now: Tensor, then: Tensor) -> list[float]:
        """Integrals over sigma of the Lagrange polynomials in time on ``places``."""
        t = torch.linspace(float(now), float(then), self.POINTS)
        kept = (-0.5 * t**2 * self.rise - t * self.start).exp()
        weight = 0.5 * (t * self.rise + self.start) / (kept * (1 - kept)).sqrt()
        width = (then - now) / self.POINTS
        found = []
        for j, place in enumerate(places):
            polynomial = torch.ones_like(t)
            for k, other in enumerate(places):
                if k != j:
                    polynomial = polynomial * (t - other) / (place - other)
            found.append(float((weight * polynomial).sum() * width))
        return found
