"""Rate limits: a bucket for each client that fills again all the time; told in headers before it is empty."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_CLIENTS = 100_000


@dataclass(frozen=True, slots=True)
class Standing:
    """How a client stands after a request: whether it passes, what is left, seconds until there is more."""

    passes: bool
    limit: int
    left: int
    wait: int

    def headers(self) -> dict[str, str]:
        """For the answer."""
        found = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.left),
            "RateLimit-Reset": str(self.wait),
        }
        return found if self.passes else {**found, "Retry-After": str(max(1, self.wait))}


class Buckets:
    """One limit: `per_minute` requests for each client, kept in this process. 0 is no limit."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._limit, self._clock = per_minute, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> Standing | None:
        """Count one request of a client; None when there is no limit."""
        if not self._limit:
            return None
        now, rate = self._clock(), self._limit / 60
        left, then = self._buckets.pop(client, (float(self._limit), now))
        left = min(float(self._limit), left + (now - then) * rate)
        passes = left >= 1
        left -= passes
        self._buckets[client] = (left, now)
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        wait = math.ceil(max(0.0, 1 - left) / rate)
        return Standing(passes, self._limit, int(left), wait)
