"""Steps of a run that are not computed: what the network added at the last one that was is added again.

How much its answer would change is estimated from how much its input did, by the rate of both at the last two
steps that were computed (EasyCache; Zhou et al., 2025). Estimates add up until they pass the threshold.
"""

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

STRIDE = 8
"""Changes are measured on every eighth row and column."""


class Reuse:
    """For one run. Calls that belong to the same step are told apart by keys; the first key decides."""

    def __init__(self, threshold: float, first: float, last: float) -> None:
        """Between the sigmas ``first`` and ``last`` steps may be left out."""
        self.threshold, self.first, self.last = threshold, first, last
        self.skipped = 0
        self._added: dict[Hashable, Tensor] = {}
        self._lead: Hashable = None
        self._left_out: float | None = None
        self._given: Tensor | None = None
        self._made: Tensor | None = None
        self._size: Tensor | None = None
        self._rate: Tensor | None = None
        self._change = 0.0

    def step(
        self,
        x: Tensor,
        sigma: float,
        run: Callable[[], Tensor],
        key: Hashable = "all",
        rows: int | None = None,
    ) -> Tensor:
        """What ``run`` makes of ``x``, or likely would; changes are measured on the first ``rows``."""
        if not sigma > self.last:
            return run()
        allowed, there = sigma <= self.first, key in self._added
        if allowed and there and self._left_out == sigma:
            return x + self._added[key]
        if allowed and self._lead is None:
            self._lead = key
        leads, moved = key == self._lead, None
        if allowed and leads:
            moved = None if self._given is None else _mean(_part(x, rows) - self._given)
            if moved is not None and there and self._is_small(moved):
                self.skipped, self._left_out = self.skipped + 1, sigma
                return x + self._added[key]
        out = run()
        if leads:
            self._learn(x, out, moved, rows)
        self._added[key] = out - x
        return out

    def _is_small(self, moved: Tensor) -> bool:
        if self._rate is None or self._size is None:
            return False
        self._change += float(self._rate * moved / self._size)
        if self._change < self.threshold:
            return True
        self._change = 0.0
        return False

    def _learn(self, x: Tensor, out: Tensor, moved: Tensor | None, rows: int | None) -> None:
        if self._made is not None and moved is not None:
            self._rate = _mean(_part(out, rows) - self._made) / moved
        self._given, self._made = _part(x, rows).clone(), _part(out, rows).clone()
        self._size = _mean(out)


def _part(x: Tensor, rows: int | None) -> Tensor:
    return x[:rows, ..., ::STRIDE, ::STRIDE]


def _mean(x: Tensor) -> Tensor:
    mean: Tensor = torch.mean(x.abs())
    return mean
