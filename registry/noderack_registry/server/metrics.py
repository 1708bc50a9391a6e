"""Counts and times of requests, in Prometheus' text form."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter

BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """What this process has answered since it started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Counter[tuple[str, str, int]] = Counter()
        self._times: Counter[tuple[str, int]] = Counter()
        self._seconds: Counter[str] = Counter()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered. `route` is the pattern, not the address: names stay few."""
        with self._lock:
            self._answers[route, method, status] += 1
            self._times[route, bisect_left(BOUNDS, seconds)] += 1
            self._seconds[route] += seconds  # type: ignore[assignment]

    def text(self, **gauges: float) -> str:
        """Everything, for a scraper; `gauges` are further values of now."""
        with self._lock:
            lines = ["# TYPE noderack_requests_total counter"]
            for (route, method, status), count in sorted(self._answers.items()):
                labels = f'route="{_quoted(route)}",method="{method}",status="{status}"'
                lines.append(f"noderack_requests_total{{{labels}}} {count}")
            lines.append("# TYPE noderack_request_seconds histogram")
            for route in sorted(self._seconds):
                lines += self._histogram(route)
        for name, value in gauges.items():
            lines += [f"# TYPE noderack_{name} gauge", f"noderack_{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _histogram(self, route: str) -> list[str]:
        name, label, total, lines = "noderack_request_seconds", f'route="{_quoted(route)}"', 0, []
        for at, bound in enumerate((*map(str, BOUNDS), "+Inf")):
            total += self._times[route, at]
            lines.append(f'{name}_bucket{{{label},le="{bound}"}} {total}')
        seconds = self._seconds[route]
        return [*lines, f"{name}_sum{{{label}}} {seconds:.6f}", f"{name}_count{{{label}}} {total}"]


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
