"""UniPC: a predictor and corrector of up to third order, in the variance-preserving view of the process."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from noderack_diffusion.task import Task

LEAST = 0.001
"""The sigma that stands for the 0 at the end, whose logarithm is wanted."""


def uni_pc(task: Task, x: Tensor, sigmas: Sequence[float], *, second: bool = False) -> Tensor:
    """``second`` chooses the variant B2 (of "bh2") for the step's weight."""
    points = [*sigmas[:-1], sigmas[-1] or LEAST]
    last, order = len(points) - 1, min(3, len(points) - 2)
    if last == 1:
        return task.denoise(x, points[0])
    walk = _Walk(task, second)
    x = x / math.sqrt(1 + points[0] ** 2)
    walk.saw(points[0], walk.clean(x, points[0]))
    task.seen(0, walk.values[-1], x)
    for step in range(1, last + 1):
        use = min(order, step, last + 1 - step)
        ahead, clean = walk.step(x, points[step], use, correct=step < last)
        x = ahead
        if clean is not None:
            task.seen(step, clean, x)
            walk.saw(points[step], clean)
    x = x * math.sqrt(1 + points[-1] ** 2)
    return x / (1 - LEAST) if task.param.flow and sigmas[-1] == 0 else x


class _Walk:
    def __init__(self, task: Task, second: bool) -> None:
        self.task, self.second = task, second
        self.points: list[float] = []
        self.values: list[Tensor] = []

    def saw(self, sigma: float, clean: Tensor) -> None:
        self.points, self.values = [*self.points[-2:], sigma], [*self.values[-2:], clean]

    def clean(self, x: Tensor, sigma: float) -> Tensor:
        return self.task.denoise(x * math.sqrt(1 + sigma**2), sigma)

    def step(self, x: Tensor, to: float, order: int, *, correct: bool) -> tuple[Tensor, Tensor | None]:
        """To the sigma ``to``; with the clean latent seen there if the step is corrected by it."""
        now, value = self.points[-1], self.values[-1]
        h = math.log(now / to)
        keep = 1 / math.sqrt(1 + to**2)
        ratios = [math.log(now / p) / h for p in self.points[-2 : -order - 1 : -1]]
        changes = [(v - value) / r for v, r in zip(self.values[-2 : -order - 1 : -1], ratios, strict=True)]
        size = math.expm1(-h) if self.second else -h
        matrix, right = _system([*ratios, 1.0], h, size)
        base = (to * keep) / (now / math.sqrt(1 + now**2)) * x - keep * math.expm1(-h) * value
        weights = [0.5] if order == 2 else torch.linalg.solve(matrix[:-1, :-1], right[:-1]).tolist()
        ahead = base - keep * size * _sum(weights, changes) if changes else base
        if not correct:
            return ahead, None
        clean = self.clean(ahead, to)
        weights = [0.5] if order == 1 else torch.linalg.solve(matrix, right).tolist()
        return base - keep * size * _sum(weights, [*changes, clean - value]), clean


def _system(ratios: Sequence[float], h: float, size: float) -> tuple[Tensor, Tensor]:
    """The equations that the weights of a step solve."""
    phi, factorial, right = math.expm1(-h) / -h - 1, 1, []
    for i in range(1, len(ratios) + 1):
        right.append(phi * factorial / size)
        factorial *= i + 1
        phi = phi / -h - 1 / factorial
    places = torch.tensor(ratios, dtype=torch.float64)
    rows = torch.stack([places**i for i in range(len(ratios))])
    return rows, torch.tensor(right, dtype=torch.float64)


def _sum(weights: Sequence[float], tensors: Sequence[Tensor]) -> Tensor:
    first, *rest = (w * t for w, t in zip(weights, tensors, strict=True))
    return sum(rest, first)
