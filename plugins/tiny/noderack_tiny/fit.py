"""One training loop for all stages: fixed steps, a function of the step number alone, able to resume."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import AdamW

log = logging.getLogger(__name__)
Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast one stage learns. The rate rises over `warmup` steps and falls as a cosine."""

    steps: int
    rate: float
    warmup: int = 100
    average: float = 0.998
    """Decay per step of the running average of the weights, which is what a stage gives."""

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        fall = 0.5 + 0.5 * math.cos(math.pi * step / self.steps)
        return self.rate * min(1.0, (step + 1) / self.warmup) * (0.01 + 0.99 * fall)


class Clock:
    """Seconds spent so far, on the wall and on the processor, those before a break included."""

    def __init__(self, wall: float = 0.0, cpu: float = 0.0) -> None:
        self._wall, self._cpu = wall - time.monotonic(), cpu - time.process_time()

    def wall(self) -> float:
        """Seconds on the wall."""
        return round(self._wall + time.monotonic(), 1)

    def cpu(self) -> float:
        """Seconds on the processor, all threads together."""
        return round(self._cpu + time.process_time(), 1)


_AVERAGE_EVERY = 10
_KEEP_EVERY = 500
_REPORT_EVERY = 100


def fit(
    learner: nn.Module,
    loss_at: Callable[[int], Tensor],
    recipe: Recipe,
    keep: Path,
    watch: Callable[[int], None] = lambda step: None,
) -> dict[str, float]:
    """Train `learner` in place and leave the averaged weights in it; gives the last loss and the time taken.

    `loss_at(step)` must depend on nothing but the step and the weights: then a run that was cut off goes on
    from `keep` as if it had not been, and the same seed gives the same model. `watch(step)` sees the averaged
    weights.
    """
    weights = {name: p for name, p in learner.named_parameters() if p.requires_grad}
    average = {name: p.detach().clone() for name, p in weights.items()}
    optimiser = AdamW(weights.values(), recipe.rate, (0.9, 0.99), weight_decay=0.01, fused=True)
    step, recent, clock = 0, 0.0, Clock()
    if keep.exists():
        step, recent, clock = _resume(keep, weights, average, optimiser)
    while step < recipe.steps:
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate_at(step)
        loss = loss_at(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        step += 1
        recent += (loss.item() - recent) * max(0.01, 1 / step)
        if step % _AVERAGE_EVERY == 0:
            _blend(average, weights, min(recipe.average, step / (step + 100)) ** _AVERAGE_EVERY)
        if step % _REPORT_EVERY == 0:
            log.info("%s step %d: loss %.4f, %.0f s", keep.stem, step, recent, clock.wall())
        if step % _KEEP_EVERY == 0 or step == recipe.steps:
            _keep(keep, step, recent, clock, weights, average, optimiser)
            with _shown(average, weights):
                watch(step)
    _copy(average, weights)
    return {"steps": step, "loss": recent, "seconds": clock.wall(), "cpu_seconds": clock.cpu()}


def _blend(average: Weights, weights: Weights, decay: float) -> None:
    torch._foreach_lerp_(list(average.values()), [w.detach() for w in weights.values()], 1 - decay)


@contextmanager
def _shown(average: Weights, weights: Weights) -> Iterator[None]:
    """Put the averages into the network for a while."""
    before = {name: w.detach().clone() for name, w in weights.items()}
    _copy(average, weights)
    yield
    _copy(before, weights)


def _copy(source: Weights, into: Weights) -> None:
    with torch.no_grad():
        for name, weight in into.items():
            weight.copy_(source[name])


def _keep(
    keep: Path, step: int, recent: float, clock: Clock, weights: Weights, average: Weights, optimiser: AdamW
) -> None:
    progress = {"step": step, "recent": recent, "wall": clock.wall(), "cpu": clock.cpu()}
    state = {**progress, "weights": weights, "average": average, "optimiser": optimiser.state_dict()}
    torch.save(state, keep.with_suffix(".part"))
    keep.with_suffix(".part").replace(keep)


def _resume(keep: Path, weights: Weights, average: Weights, optimiser: AdamW) -> tuple[int, float, Clock]:
    state = torch.load(keep)
    _copy(state["weights"], weights)
    _copy(state["average"], average)
    optimiser.load_state_dict(state["optimiser"])
    return state["step"], state["recent"], Clock(state["wall"], state["cpu"])
