"""Samplers that add noise as they go, stepping in half log-SNR; the same formulas serve flows and diffusions.

Scalars are fp32 tensors here, not Python numbers: where noise is asked for in the middle of a step, the last
bit of that sigma decides the value.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from noderack_diffusion.task import Task


def _phi(h: Tensor) -> Tensor:
    """1 - exp(-h)."""
    return (-h).expm1().neg()


def _spread(h: Tensor) -> Tensor:
    """The noise that a stretch of 2 h of the process adds."""
    return _phi(2 * h).clamp(min=0).sqrt()


def _prepare(task: Task, sigmas: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Sigmas, their half log-SNR, and how much of the picture is kept at each."""
    values = task.bounded(sigmas)
    snr = task.snr(values)
    kept = torch.where(values > 0, values * snr.exp(), torch.ones_like(values))
    return values, snr, kept


def _up(now: Tensor, then: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """How far down to step in noise-to-signal, and how much to add."""
    if not eta:
        return then, torch.zeros(())
    up = torch.minimum(then, eta * (then**2 * (now**2 - then**2) / now**2).sqrt())
    return (then**2 - up**2).sqrt(), up


def dpmpp_sde(
    task: Task, x: Tensor, sigmas: Sequence[float], *, eta: float = 1.0, r: float = 0.5, on_cpu: bool = True
) -> Tensor:
    """DPM-Solver++ as a stochastic equation, with a stage in the middle of each step."""
    draw = task.brownian(x, sigmas, on_cpu=on_cpu)
    s, snr, kept = _prepare(task, sigmas)
    for i in range(len(s) - 1):
        clean = task.denoise(x, float(s[i]))
        task.seen(i, clean, x)
        if s[i + 1] == 0:
            x = clean
            continue
        middle = snr[i] + r * (snr[i + 1] - snr[i])
        at = task.sigma(middle)
        half = at * middle.exp()
        inner, up = _up((-snr[i]).exp(), (-middle).exp(), eta)
        h = -inner.log() - snr[i]
        ahead = (half / kept[i]) * (-h).exp() * x + half * _phi(h) * clean
        ahead = ahead + half * draw(float(s[i]), float(at)) * up
        second = task.denoise(ahead, float(at))
        outer, up = _up((-snr[i]).exp(), (-snr[i + 1]).exp(), eta)
        h = -outer.log() - snr[i]
        mixed = (1 - 1 / (2 * r)) * clean + 1 / (2 * r) * second
        x = (kept[i + 1] / kept[i]) * (-h).exp() * x + kept[i + 1] * _phi(h) * mixed
        x = x + kept[i + 1] * draw(float(s[i]), float(s[i + 1])) * up
    return x


def dpmpp_2m_sde(
    task: Task,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    eta: float = 1.0,
    heun: bool = False,
    on_cpu: bool = True,
) -> Tensor:
    """DPM-Solver++ (2M) as a stochastic equation."""
    draw = task.brownian(x, sigmas, on_cpu=on_cpu)
    s, snr, kept = _prepare(task, sigmas)
    before: Tensor | None = None
    past = torch.ones(())
    for i in range(len(s) - 1):
        clean = task.denoise(x, float(s[i]))
        task.seen(i, clean, x)
        if s[i + 1] == 0:
            x = clean
            continue
        h = snr[i + 1] - snr[i]
        wide = h * (eta + 1)
        x = s[i + 1] / s[i] * (-h * eta).exp() * x + kept[i + 1] * _phi(wide) * clean
        if before is not None:
            bend = _phi(wide) / -wide + 1 if heun else 0.5 * _phi(wide)
            x = x + kept[i + 1] * bend * (h / past) * (clean - before)
        x = x + draw(float(s[i]), float(s[i + 1])) * s[i + 1] * _spread(h * eta)
        before, past = clean, h
    return x


def dpmpp_3m_sde(
    task: Task, x: Tensor, sigmas: Sequence[float], *, eta: float = 1.0, on_cpu: bool = True
) -> Tensor:
    """DPM-Solver++ (3M) as a stochastic equation."""
    draw = task.brownian(x, sigmas, on_cpu=on_cpu)
    s, snr, kept = _prepare(task, sigmas)
    seen: list[Tensor] = []
    widths: list[Tensor] = []
    for i in range(len(s) - 1):
        clean = task.denoise(x, float(s[i]))
        task.seen(i, clean, x)
        if s[i + 1] == 0:
            x = clean
            continue
        h = snr[i + 1] - snr[i]
        wide = h * (eta + 1)
        x = s[i + 1] / s[i] * (-h * eta).exp() * x + kept[i + 1] * _phi(wide) * clean
        two = 1 - _phi(wide) / wide
        if seen:
            first = (clean - seen[-1]) / (widths[-1] / h)
            bend = torch.zeros(())
            if len(seen) > 1:
                r, q = widths[-1] / h, widths[-2] / h
                change = (first - (seen[-1] - seen[-2]) / q) / (r + q)
                first, bend = first + change * r, (two / wide - 0.5) * change
            x = x + kept[i + 1] * two * first - kept[i + 1] * bend
        x = x + draw(float(s[i]), float(s[i + 1])) * s[i + 1] * _spread(h * eta)
        seen, widths = [*seen[-1:], clean], [*widths[-1:], h]
    return x


def ddpm(task: Task, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """The posterior of the diffusion process, step by step."""
    draw = task.noise.ancestral(x)
    for i in range(len(sigmas) - 1):
        now, then = sigmas[i], sigmas[i + 1]
        clean = task.denoise(x, now)
        task.seen(i, clean, x)
        kept, next_kept = 1 / (now**2 + 1), 1 / (then**2 + 1)
        ratio = kept / next_kept
        noise = (x - clean) / now
        x = (x / math.sqrt(1 + now**2) - (1 - ratio) * noise / math.sqrt(1 - kept)) / math.sqrt(ratio)
        if then > 0:
            x = x + math.sqrt((1 - ratio) * (1 - next_kept) / (1 - kept)) * draw()
            x = x * math.sqrt(1 + then**2)
    return x


def lcm(
    task: Task,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    noise_first: float = 1.0,
    noise_last: float = 1.0,
    within: float = 0.0,
) -> Tensor:
    """Jumps to the clean latent, then noises it anew to the next level.

    The noise's strength goes from ``noise_first`` to ``noise_last``; what of it is beyond ``within`` times
    its spread (0: anything) is cut.
    """
    draw, last = task.noise.ancestral(x), max(1, len(sigmas) - 2)
    for i in range(len(sigmas) - 1):
        x = task.denoise(x, sigmas[i])
        task.seen(i, x, x)
        if sigmas[i + 1] > 0:
            noise, share = draw(), i / last
            if within > 0:
                most = float(within * noise.std())
                noise = noise.clamp(-most, most)
            strength = noise_first + (noise_last - noise_first) * share
            x = task.param.noised(sigmas[i + 1], noise * strength, x)
    return x


Fit = Callable[[Tensor, int, int], Tensor]
"""(latent, width, height) -> the latent at that size."""


def lcm_growing(
    task: Task, x: Tensor, sigmas: Sequence[float], *, fit: Fit, scale: float, growing: int | None = None
) -> Tensor:
    """As ``lcm``, while the latent grows to ``scale`` in the first ``growing`` steps (half of them).

    Its noise goes on from that of the run's start.
    """
    height, width = x.shape[-2:]
    task.noise.initial(x)
    count = len(sigmas)
    stages = max(count // 2 + 1, 2) if growing is None else min(growing + 1, count + 1)
    for i in range(count - 1):
        x = task.denoise(x, sigmas[i])
        task.seen(i, x, x)
        if i + 1 < stages:
            now = 1 + (scale - 1) * (i + 1) / (stages - 1)
            x = fit(x, round(width * now), round(height * now))
        if sigmas[i + 1] > 0:
            x = x + sigmas[i + 1] * task.noise.stream(x)
    return x


Scaler = Callable[[Tensor], Tensor]
"""How fast the noise of an extended reverse-time SDE grows with the noise-to-signal ratio."""


def _er_scale(x: Tensor) -> Tensor:
    return x * ((x**0.3).exp() + 10.0)


def er_scaler(kind: str, eta: float = 1.0) -> Scaler:
    """The family of Cui et al. (2023), by name: "ER-SDE", "Reverse-time SDE" or "ODE"; ``eta`` 0 is the
    last.
    """
    if kind == "ODE" or not eta:
        return lambda x: x
    if kind == "Reverse-time SDE":
        return lambda x: x ** (eta + 1)
    return lambda x: x * ((x**0.3).exp() + 10.0) ** eta


def er_sde(
    task: Task,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    points: int = 200,
    scaler: Scaler = _er_scale,
    stages: int = 3,
) -> Tensor:
    """Extended reverse-time SDE, up to three stages, their integrals by a sum over ``points``."""
    draw = task.noise.ancestral(x)
    s, snr, kept = _prepare(task, sigmas)
    level = (-snr).exp()
    past: Tensor | None = None
    past_slope: Tensor | None = None
    for i in range(len(s) - 1):
        clean = task.denoise(x, float(s[i]))
        task.seen(i, clean, x)
        if s[i + 1] == 0:
            x = clean
            continue
        now, then, keep = level[i], level[i + 1], kept[i + 1]
        shrink = scaler(then) / scaler(now)
        x = keep / kept[i] * shrink * x + keep * (1 - shrink) * clean
        width = (now - then) / points
        places = then + torch.arange(points) * width
        change: Tensor | None = None
        if past is not None and stages > 1:
            total = (1 / scaler(places)).sum() * width
            change = (clean - past) / (now - level[i - 1])
            x = x + keep * (then - now + total * scaler(then)) * change
            if past_slope is not None and stages > 2:
                total = ((places - now) / scaler(places)).sum() * width
                bend = (change - past_slope) / ((now - level[i - 2]) / 2)
                x = x + keep * ((then - now) ** 2 / 2 + total * scaler(then)) * bend
        left = (then**2 - now**2 * shrink**2).sqrt().nan_to_num(nan=0.0)
        x = x + keep * draw() * left
        past, past_slope = clean, change
    return x


def seeds_2(
    task: Task, x: Tensor, sigmas: Sequence[float], *, eta: float = 1.0, r: float = 0.5, second: bool = False
) -> Tensor:
    """SEEDS with two stages; ``second`` weighs them to second order (exponential Heun at ``r = 1``)."""
    draw = task.noise.ancestral(x)
    s, snr, kept = _prepare(task, sigmas)
    for i in range(len(s) - 1):
        clean = task.denoise(x, float(s[i]))
        task.seen(i, clean, x)
        if s[i + 1] == 0:
            x = clean
            continue
        h = snr[i + 1] - snr[i]
        wide = h * (eta + 1)
        middle = torch.lerp(snr[i], snr[i + 1], r)
        at = task.sigma(middle)
        one = _spread(r * h * eta) * draw() if eta else 0.0
        ahead = at / s[i] * (-r * h * eta).exp() * x + at * middle.exp() * _phi(r * wide) * clean + at * one
        later = task.denoise(ahead, float(at))
        if second:
            weight = (1 - _phi(wide) / wide) / r
            mixed = (_phi(wide) - weight) * clean + weight * later
        else:
            mixed = _phi(wide) * ((1 - 1 / (2 * r)) * clean + 1 / (2 * r) * later)
        x = s[i + 1] / s[i] * (-h * eta).exp() * x + kept[i + 1] * mixed
        if eta:
            x = x + s[i + 1] * _rest(one, h * eta, r, draw)
    return x


def _rest(one: Tensor | float, h: Tensor, r: float, draw: Callable[[], Tensor]) -> Tensor:
    """The first stage's noise as it is at the end of the step, and the noise of the rest of it."""
    left = (1 - r) * h
    return one * (-left).exp() + _spread(left) * draw()


def seeds_3(
    task: Task,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    eta: float = 1.0,
    places: tuple[float, float] = (1 / 3, 2 / 3),
) -> Tensor:
    """SEEDS with three stages."""
    draw = task.noise.ancestral(x)
    s, snr, kept = _prepare(task, sigmas)
    r, q = places
    for i in range(len(s) - 1):
        clean = task.denoise(x, float(s[i]))
        task.seen(i, clean, x)
        if s[i + 1] == 0:
            x = clean
            continue
        h = snr[i + 1] - snr[i]
        wide = h * (eta + 1)
        first, second = torch.lerp(snr[i], snr[i + 1], r), torch.lerp(snr[i], snr[i + 1], q)
        a, b = task.sigma(first), task.sigma(second)
        noises = [draw(), draw(), draw()]
        spans = [(-2 * part * h * eta).exp() for part in (0.0, r, q, 1.0)]
        spreads = [(spans[k] - spans[k + 1]).clamp(min=0).sqrt() for k in range(3)]
        x2 = a / s[i] * (-r * h * eta).exp() * x + a * first.exp() * _phi(r * wide) * clean
        one = task.denoise(x2 + a * spreads[0] * noises[0], float(a))
        bend = (q / r) * b * second.exp() * (1 - _phi(q * wide) / (q * wide))
        x3 = b / s[i] * (-q * h * eta).exp() * x + b * second.exp() * _phi(q * wide) * clean
        x3 = x3 + bend * (one - clean) + b * (spreads[1] * noises[0] + spreads[0] * noises[1])
        two = task.denoise(x3, float(b))
        bend = (1 / q) * kept[i + 1] * (1 - _phi(wide) / wide)
        x = s[i + 1] / s[i] * (-h * eta).exp() * x + kept[i + 1] * _phi(wide) * clean + bend * (two - clean)
        x = x + s[i + 1] * (spreads[2] * noises[0] + spreads[1] * noises[1] + spreads[0] * noises[2])
    return x


def sa_solver(
    task: Task,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    predictor: int = 3,
    corrector: int = 4,
    pece: bool = False,
    tau: Callable[[float], float] | None = None,
    simple: bool = False,
) -> Tensor:
    """SA-Solver: stochastic Adams, predictor and corrector.

    ``tau`` says how stochastic the step to a sigma is (as a rule: 1 between 20 % and 80 % of the way, else
    0); ``simple`` takes the paper's plain weights where two values are at hand.
    """
    draw = task.noise.ancestral(x)
    s, snr, kept = _prepare(task, sigmas)
    spread = tau or within(task.param.times.percent(0.2), task.param.times.percent(0.8))
    last, ends_clean = len(s) - 1, float(s[-1]) == 0.0
    seen: list[Tensor] = []
    ahead, t, noise = x, 0.0, torch.zeros(())
    for i in range(last):
        clean = task.denoise(ahead, float(s[i]))
        task.seen(i, clean, ahead)
        seen = [*seen[1 - max(predictor, corrector) :], clean]
        steps = min(predictor, len(seen))
        fixes = 0 if i == 0 or (s[i + 1] == 0 and not pece) else min(corrector, len(seen))
        if ends_clean:
            steps, fixes = min(steps, last - 1 - i), min(fixes, last - i)
        if fixes:
            x = s[i] / s[i - 1] * (-(t**2) * (snr[i] - snr[i - 1])).exp() * x + noise
            weigh = _halves if simple and fixes == 2 else _adams
            x = x + weigh(seen[-fixes:], snr[i - fixes + 1 : i + 1], snr[i - 1], snr[i], t) * kept[i]
            if pece:
                clean = task.denoise(x, float(s[i]))
                seen[-1] = clean
        else:
            x = ahead
        if s[i + 1] == 0:
            return clean
        t = spread(float(s[i + 1]))
        h = snr[i + 1] - snr[i]
        ahead = s[i + 1] / s[i] * (-(t**2) * h).exp() * x
        weigh = _halves if simple and steps == 2 else _adams
        moved = weigh(seen[-steps:], snr[i - steps + 1 : i + 1], snr[i], snr[i + 1], t)
        ahead = ahead + moved * kept[i + 1]
        noise = draw() * s[i + 1] * _spread(t**2 * h) if t else torch.zeros(())
        ahead = ahead + noise
    return ahead


def within(first: float, last: float, eta: float = 1.0) -> Callable[[float], float]:
    """``eta`` for sigmas from ``first`` down to ``last``, else 0."""
    return lambda sigma: max(eta, 0.0) if last <= sigma <= first else 0.0


def _halves(values: Sequence[Tensor], places: Tensor, start: Tensor, end: Tensor, tau: float) -> Tensor:
    """As ``_adams`` for two values, by the plain weights of the paper's appendix."""
    a, h = 1 + tau**2, end - start
    older, newer = values
    if places[-1] == end:  # the corrector: the later value lies at the end of the step
        weight = 0.5 * a * h
        return (_phi(a * h) - weight) * older + weight * newer
    weight = 0.5 * a * h**2 / (places[-2] - start)
    return weight * older + (_phi(a * h) - weight) * newer


def _adams(values: Sequence[Tensor], places: Tensor, start: Tensor, end: Tensor, tau: float) -> Tensor:
    """The integral of exp(a (l - end)) a p(l) from ``start`` to ``end``, p through ``values`` at
    ``places``.
    """
    n, a = len(values), 1 + tau**2
    # Measured from the end, the powers stay small.
    at = (places.double() - float(end)).unsqueeze(0)
    h = float(end - start)
    moments: list[float] = []
    for p in range(n):
        edge = (0.0**p) - (-h) ** p * math.exp(-a * h)
        moments.append(edge - (p / a * moments[-1] if p else 0.0))
    powers = at ** torch.arange(n, dtype=torch.float64).unsqueeze(1)
    weights = torch.linalg.solve(powers, torch.tensor(moments, dtype=torch.float64))
    first, *rest = (float(w) * v for w, v in zip(weights, values, strict=True))
    return sum(rest, first)
