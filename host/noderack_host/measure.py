"""How long a node ran and how much memory the process peaked at, for as little as it costs to know.

The peak is of the whole process, or of the GPU where one is in use: nodes that run at the same time share it.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_WORTH_A_LOOK = 0.001  # seconds: reading the peak costs about 30 µs


@dataclass(frozen=True, slots=True)
class Timing:
    """One node's run: `started` in seconds of time.perf_counter, `peak_bytes` where it could be told."""

    node_id: str
    node_type: str
    started: float
    seconds: float
    peak_bytes: int | None = None


class MemoryProbe:
    """Tells the peak since `begin`: of the first GPU in use, else of the process's resident set."""

    def __init__(self) -> None:
        self._fd = _open_reset()

    def begin(self) -> float:
        """Starts over; gives the time."""
        if self._fd is not None:
            os.pwrite(self._fd, b"5", 0)
        cuda = _cuda()
        if cuda is not None:
            cuda.reset_peak_memory_stats()
        return time.perf_counter()

    def end(self, started: float) -> tuple[float, int | None]:
        """(seconds since then, peak bytes); no peak for what was too short to matter."""
        seconds = time.perf_counter() - started
        return seconds, self.peak() if seconds > _WORTH_A_LOOK else None

    def peak(self) -> int | None:
        cuda = _cuda()
        if cuda is not None:
            return int(cuda.max_memory_allocated())
        return _resident_peak() if self._fd is not None else None

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _open_reset() -> int | None:
    """The file that resets the peak of the resident set on Linux, or None elsewhere."""
    try:
        return os.open("/proc/self/clear_refs", os.O_WRONLY)
    except OSError:
        return None


def _resident_peak() -> int | None:
    for line in Path("/proc/self/status").read_bytes().splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _cuda() -> "_Cuda | None":
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_initialized() else None


class _Cuda:
    """The part of torch.cuda that is used here."""

    def reset_peak_memory_stats(self) -> None: ...

    def max_memory_allocated(self) -> int:
        return 0
