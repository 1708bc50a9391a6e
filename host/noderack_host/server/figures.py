"""What the server counts: prompts, seconds, node types; told to Prometheus and to `nodes top`."""

import os
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noderack_host.measure import Timing

BUCKETS = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0)  # seconds
RECENT = 64
Sample = tuple[Mapping[str, str], float]


@dataclass(slots=True)
class Step:
    """How far the running node is. `rate` is in steps a second, over what was seen of it."""

    node: str = ""
    value: float = 0
    total: float = 0
    since: float = 0
    first: float = 0

    def heard(self, node: str, value: float, total: float) -> None:
        """The node says how far it is."""
        now = time.monotonic()
        if node != self.node or value < self.value:
            self.node, self.since, self.first = node, now, value
        self.value, self.total = value, total

    @property
    def rate(self) -> float:
        """Steps a second."""
        seconds = time.monotonic() - self.since
        return (self.value - self.first) / seconds if self.node and seconds > 0 else 0.0


@dataclass(slots=True)
class Figures:
    """Counters since the start."""

    prompts: Counter[str] = field(default_factory=Counter)
    seconds: Counter[float] = field(default_factory=Counter)
    seconds_in_all: float = 0.0
    waited: float = 0.0
    node_runs: Counter[str] = field(default_factory=Counter)
    node_seconds: dict[str, float] = field(default_factory=dict)
    recent: deque[tuple[str, float]] = field(default_factory=lambda: deque(maxlen=RECENT))
    steps: dict[str, Step] = field(default_factory=dict)
    """How far the prompts under way are, by id."""

    def over(self, state: str, waited: float, seconds: float, timings: Iterable[Timing]) -> None:
        """A prompt is over; times in seconds."""
        self.prompts[state] += 1
        self.waited += waited
        self.seconds_in_all += seconds
        self.seconds[next((bound for bound in BUCKETS if seconds <= bound), float("inf"))] += 1
        for timing in timings:
            self.node_runs[timing.node_type] += 1
            before = self.node_seconds.get(timing.node_type, 0.0)
            self.node_seconds[timing.node_type] = before + timing.seconds
            self.recent.append((timing.node_type, timing.seconds))

    def metrics(self) -> Iterator[str]:
        """The counters in the text form of Prometheus."""
        yield from metric(
            "noderack_prompts_total",
            "counter",
            "Prompts that are over since the start.",
            [({"state": state}, count) for state, count in sorted(self.prompts.items())],
        )
        yield from self._histogram()
        yield from metric(
            "noderack_prompt_wait_seconds_total",
            "counter",
            "Seconds that prompts waited.",
            [({}, self.waited)],
        )
        runs = [({"node_type": name}, count) for name, count in sorted(self.node_runs.items())]
        yield from metric("noderack_node_runs_total", "counter", "Runs of each node type.", runs)
        took = [({"node_type": name}, count) for name, count in sorted(self.node_seconds.items())]
        yield from metric("noderack_node_seconds_total", "counter", "Seconds of each node type.", took)
        yield from metric(
            "noderack_steps_per_second",
            "gauge",
            "Steps a second of the nodes that run.",
            [({}, sum(step.rate for step in self.steps.values()))],
        )

    def _histogram(self) -> Iterator[str]:
        name, below = "noderack_prompt_seconds", 0
        yield from (f"# HELP {name} Seconds that prompts ran.", f"# TYPE {name} histogram")
        for bound in (*BUCKETS, float("inf")):
            below += self.seconds[bound]
            yield f'{name}_bucket{{le="{"+Inf" if bound == float("inf") else bound}"}} {below}'
        yield f"{name}_sum {self.seconds_in_all:.6f}"
        yield f"{name}_count {below}"


def metric(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    """One metric's lines."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{name}{{{told}}} {value:.12g}" if told else f"{name} {value:.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resident_bytes() -> int | None:
    """This process's memory, where the system tells it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def slowest(figures: Figures, count: int = 8) -> list[dict[str, Any]]:
    """The node types that took most of the time since the start."""
    by_time = sorted(figures.node_seconds.items(), key=lambda one: -one[1])
    return [
        {"node_type": name, "runs": figures.node_runs[name], "seconds": round(seconds, 3)}
        for name, seconds in by_time[:count]
    ]
