"""A run as a trace file that Perfetto and Chrome's about:tracing open: the trace event format, in JSON."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from noderack_host.measure import Timing

_PROCESS = 1


def trace_of(timings: Iterable[Timing]) -> dict[str, Any]:
    """The trace of a run: a bar for each node, what ran at the same time in rows; a curve of the memory.

    Times are in µs from the start of the first node.
    """
    ordered = sorted(timings, key=lambda timing: timing.started)
    start = ordered[0].started if ordered else 0.0
    rows = _rows(ordered)
    events = [_meta("process_name", "noderack", 0)]
    events += [_meta("thread_name", f"row {row}", row) for row in sorted(set(rows))]
    events += [_bar(timing, row, start) for timing, row in zip(ordered, rows, strict=True)]
    events += [_memory(timing, start) for timing in ordered if timing.peak_bytes is not None]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _rows(ordered: Sequence[Timing]) -> list[int]:
    """The row of each node, from 1: the first one that is free when it begins."""
    ends: list[float] = []
    rows: list[int] = []
    for timing in ordered:
        row = next((at for at, end in enumerate(ends) if end <= timing.started), len(ends))
        ends[row : row + 1] = [timing.started + timing.seconds]
        rows.append(row + 1)
    return rows


def _meta(name: str, label: str, row: int) -> dict[str, Any]:
    return {"name": name, "ph": "M", "pid": _PROCESS, "tid": row, "args": {"name": label}}


def _bar(timing: Timing, row: int, start: float) -> dict[str, Any]:
    args: dict[str, Any] = {"node": timing.node_id}
    if timing.peak_bytes is not None:
        args["peak_bytes"] = timing.peak_bytes
    return {
        "name": timing.node_type,
        "cat": "node",
        "ph": "X",
        "ts": (timing.started - start) * 1e6,
        "dur": timing.seconds * 1e6,
        "pid": _PROCESS,
        "tid": row,
        "args": args,
    }


def _memory(timing: Timing, start: float) -> dict[str, Any]:
    """The peak while a node ran, as a point of a curve at its end."""
    at = (timing.started + timing.seconds - start) * 1e6
    return {"name": "memory", "ph": "C", "ts": at, "pid": _PROCESS, "args": {"bytes": timing.peak_bytes}}


def write_trace(timings: Iterable[Timing]) -> str:
    """The trace as the text of a file."""
    return json.dumps(trace_of(timings))
