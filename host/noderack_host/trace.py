"""A run as a trace file that Perfetto and Chrome's about:tracing open."""

import json
from collections.abc import Iterable
from typing import Any

from noderack_host.measure import Timing


def trace_of(timings: Iterable[Timing]) -> dict[str, Any]:
    """The Chrome trace of a run: one bar for each node; what ran at the same time lies in rows."""
    rows: list[float] = []
    events: list[dict[str, Any]] = []
    for timing in sorted(timings, key=lambda timing: timing.started):
        row = next((at for at, end in enumerate(rows) if end <= timing.started), len(rows))
        rows[row : row + 1] = [timing.started + timing.seconds]
        args: dict[str, Any] = {"node": timing.node_id}
        if timing.peak_bytes is not None:
            args["peak_bytes"] = timing.peak_bytes
        events.append(
            {
                "name": timing.node_type,
                "cat": "node",
                "ph": "X",
                "ts": timing.started * 1e6,
                "dur": timing.seconds * 1e6,
                "pid": 1,
                "tid": row + 1,
                "args": args,
            }
        )
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def write_trace(timings: Iterable[Timing]) -> str:
    """The trace as the text of a file."""
    return json.dumps(trace_of(timings))
