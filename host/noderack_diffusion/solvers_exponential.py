"""Samplers that step in the logarithm of sigma, where the linear part of the equation is solved exactly."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from noderack_diffusion.task import Task, ancestral, ancestral_flow, slope, steps


def dpmpp_2m(task: Task, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """DPM-Solver++ (2M): second order from the clean latents of this step and the last, in -log sigma."""
    before: Tensor | None = None
    past = 0.0
    for i, now, then in steps(sigmas):
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


def dpmpp_2m_cfg_pp(task: Task, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """DPM-Solver++ (2M) after CFG++."""
    before: Tensor | None = None
    past = 0.0
    for i, now, then in steps(sigmas):
        clean, plain = task.both(x, now)
        task.seen(i, clean, x)
        h = math.inf if then == 0 else math.log(now / then)
        mixed = -math.exp(-h) * plain
        if before is not None and then > 0:
            mixed = mixed - math.expm1(-h) * (h / (2 * past)) * (clean - before)
        x = clean + mixed + math.exp(-h) * x
        before, past = plain, h
    return x


def dpmpp_2s_ancestral(task: Task, x: Tensor, sigmas: Sequence[float], *, eta: float = 1.0) -> Tensor:
    """DPM-Solver++ (2S) with ancestral noise."""
    draw = task.noise.ancestral(x)
    for i, now, then in steps(sigmas):
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        if then == 0:
            x = x + slope(x, clean, now) * (then - now)
        elif task.param.flow:
            x = _flow_step(task, x, clean, now, then, eta) + draw() * ancestral_flow(now, then, eta)[2]
        else:
            down, up = ancestral(now, then, eta)
            middle = math.sqrt(now * down)
            half = (middle / now) * x + (1 - middle / now) * clean
            x = (down / now) * x + (1 - down / now) * task.denoise(half, middle) + draw() * up
    return x


def _flow_step(task: Task, x: Tensor, clean: Tensor, now: float, then: float, eta: float) -> Tensor:
    down, shrink, _ = ancestral_flow(now, then, eta)
    middle = 0.9999
    if now != 1.0:
        ends = torch.tensor([now, down], dtype=torch.float64)
        middle = float(task.sigma(task.snr(ends).mean()))
    half = (middle / now) * x + (1 - middle / now) * clean
    return shrink * ((down / now) * x + (1 - down / now) * task.denoise(half, middle))


def dpmpp_2s_ancestral_cfg_pp(task: Task, x: Tensor, sigmas: Sequence[float], *, eta: float = 1.0) -> Tensor:
    """DPM-Solver++ (2S) with ancestral noise, after CFG++."""
    draw = task.noise.ancestral(x)
    for i, now, then in steps(sigmas):
        clean, plain = task.both(x, now)
        task.seen(i, clean, x)
        down, up = ancestral(now, then, eta)
        if down == 0:
            x = clean + slope(x, plain, now) * down
        else:
            middle = math.sqrt(now * down)
            half = (middle / now) * (x + (clean - plain)) + (1 - middle / now) * clean
            ahead, plain = task.both(half, middle)
            x = (down / now) * (x + (clean - plain)) + (1 - down / now) * ahead
        if then > 0:
            x = x + draw() * up
    return x


def res_multistep(
    task: Task, x: Tensor, sigmas: Sequence[float], *, eta: float = 1.0, cfg_pp: bool = False
) -> Tensor:
    """RES: a second-order exponential multistep method."""
    draw = task.noise.ancestral(x)
    before: Tensor | None = None
    last_down = 0.0
    for i, now, then in steps(sigmas):
        clean, plain = task.both(x, now) if cfg_pp else (task.denoise(x, now),) * 2
        task.seen(i, clean, x)
        down, up = ancestral(now, then, eta)
        if down == 0 or before is None:
            d = slope(x, plain, now)
            x = clean + d * down if cfg_pp else x + d * (down - now)
        else:
            first, second = _res(sigmas[i - 1], last_down, now, down)
            x = (down / now) * (x + (clean - plain)) + first * plain + second * before
        if then > 0 and up:
            x = x + draw() * up
        before, last_down = plain, down
    return x


def _res(previous: float, last_down: float, now: float, down: float) -> tuple[float, float]:
    h = math.log(now / down)
    place = math.log(last_down / previous) / h
    one = math.expm1(-h) / -h
    two = (one - 1.0) / -h
    if place == 0:
        return 0.0, 0.0
    return h * (one - two / place), h * two / place


class _Solver:
    """DPM-Solver of orders 1 to 3 in t = -log sigma, on the noise that the model sees."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def eps(self, x: Tensor, t: float) -> Tensor:
        sigma = math.exp(-t)
        return slope(x, self.task.denoise(x, sigma), sigma)

    def part(self, x: Tensor, t: float, eps: Tensor, h: float) -> Tensor:
        """A first-order step."""
        return x - math.exp(-(t + h)) * math.expm1(h) * eps

    def second(self, x: Tensor, t: float, eps: Tensor, h: float, r: float = 0.5) -> tuple[Tensor, Tensor]:
        """A second-order step, and the noise seen on the way (at ``t + r h``)."""
        inner = self.eps(self.part(x, t, eps, r * h), t + r * h)
        return self.part(x, t, eps, h) - math.exp(-(t + h)) / (2 * r) * math.expm1(h) * (inner - eps), inner

    def third(self, x: Tensor, t: float, eps: Tensor, h: float, inner: Tensor | None = None) -> Tensor:
        """A third-order step; ``inner`` is the noise at ``t + h / 3`` if it is known."""
        r, s = 1 / 3, 2 / 3
        if inner is None:
            inner = self.eps(self.part(x, t, eps, r * h), t + r * h)
        bend = math.exp(-(t + s * h)) * (s / r) * (math.expm1(s * h) / (s * h) - 1)
        outer = self.eps(self.part(x, t, eps, s * h) - bend * (inner - eps), t + s * h)
        return self.part(x, t, eps, h) - math.exp(-(t + h)) / s * (math.expm1(h) / h - 1) * (outer - eps)


def _ends(sigmas: Sequence[float]) -> tuple[float, float]:
    last = sigmas[-1] or sigmas[-2]
    return -math.log(sigmas[0]), -math.log(last)


def dpm_fast(task: Task, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """DPM-Solver with as many evaluations as there are steps, third order wherever it fits."""
    (start, end), count = _ends(sigmas), len(sigmas) - 1
    rest, blocks = count % 3, count // 3 + 1
    orders = [3] * (blocks - 1) + [rest] if rest else [3] * (blocks - 2) + [2, 1]
    points = torch.linspace(start, end, blocks + 1).tolist()
    solver = _Solver(task)
    for i, (order, t, then) in enumerate(zip(orders, points, points[1:], strict=False)):
        eps, h = solver.eps(x, t), then - t
        task.seen(i, x - math.exp(-t) * eps, x)
        if order == 1:
            x = solver.part(x, t, eps, h)
        else:
            x = solver.second(x, t, eps, h)[0] if order == 2 else solver.third(x, t, eps, h)
    return x


class _StepSize:
    """Chooses the next step by the errors of the last ones: a controller with the three usual terms, for
    errors that shrink with the ``order``-th power of the step.
    """

    def __init__(self, h: float, terms: tuple[float, float, float], order: float, safety: float) -> None:
        p, i, d = terms
        self.h, self.safety = h, safety
        self.powers = ((p + i + d) / order, -(p + 2 * d) / order, d / order)
        self.seen: list[float] = []

    def accepts(self, error: float) -> bool:
        precision = 1 / (error + 1e-8)
        self.seen = [precision, *(self.seen[1:] or [precision] * 2)]
        factor = math.prod(value**power for value, power in zip(self.seen, self.powers, strict=True))
        factor = 1 + math.atan(factor - 1)
        self.h *= factor
        if factor < self.safety:
            return False
        self.seen = [precision, precision, self.seen[1]]
        return True


def dpm_adaptive(
    task: Task,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    first: float = 0.05,
    terms: tuple[float, float, float] = (0.0, 1.0, 0.0),
    safety: float = 0.81,
    eta: float = 0.0,
) -> Tensor:
    """DPM-Solver of order 2 or 3 that chooses its own steps: as many as it needs, not as many as asked.

    A step is taken if it differs from one of an order less by no more than ``rtol`` and ``atol`` allow;
    ``first`` is the first one, ``terms`` are the controller's (proportional, integral, derivative).
    """
    t, end = _ends(sigmas)
    solver, before, taken, draw = _Solver(task), x, 0, task.noise.ancestral(x)
    size = _StepSize(first, terms, 1.5 if eta else order, safety)
    while t < end - 1e-5:
        then = min(end, t + size.h)
        h, up = _with_noise(t, then, end, eta)
        eps = solver.eps(x, t)
        if order == 2:
            rough, fine = solver.part(x, t, eps, h), solver.second(x, t, eps, h)[0]
        else:
            rough, inner = solver.second(x, t, eps, h, r=1 / 3)
            fine = solver.third(x, t, eps, h, inner)
        bound = torch.clamp(rtol * torch.maximum(rough.abs(), before.abs()), min=atol)
        error = float(torch.linalg.vector_norm((rough - fine) / bound) / x.numel() ** 0.5)
        task.seen(min(taken, len(sigmas) - 2), x - math.exp(-t) * eps, x)
        if size.accepts(error):
            before, x, t, taken = rough, fine + up * draw() if eta else fine, then, taken + 1
    return x


def _with_noise(t: float, then: float, end: float, eta: float) -> tuple[float, float]:
    """How far to step beyond ``then``, and how much noise brings it back."""
    if not eta:
        return then - t, 0.0
    down, _ = ancestral(math.exp(-t), math.exp(-then), eta)
    beyond = end if down == 0 else min(end, -math.log(down))
    return beyond - t, math.sqrt(max(math.exp(-then) ** 2 - math.exp(-beyond) ** 2, 0.0))
