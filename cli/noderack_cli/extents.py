"""Which bytes of a file are still to come, and who brings them: shared by the connections of a download."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

SMALLEST = 1 << 20  # bytes that are worth a connection of their own


@dataclass(slots=True)
class Extent:
    """Bytes `at` to `end`, brought by whoever took it."""

    at: int
    end: int
    taken: bool = False


class Extents:
    """The open extents of a file, in order. A new connection takes half of the longest one."""

    def __init__(self, still: Sequence[tuple[int, int]]) -> None:
        self._open = [Extent(at, end) for at, end in sorted(still) if at < end]
        self._lock = threading.Lock()

    def take(self, *, split: bool = True) -> Extent | None:
        """An extent to bring: the first that nobody brings, or half of the longest, if it is worth it."""
        with self._lock:
            for extent in self._open:
                if not extent.taken:
                    extent.taken = True
                    return extent
            longest = max(self._open, key=lambda e: e.end - e.at, default=None)
            if not split or longest is None or longest.end - longest.at < 2 * SMALLEST:
                return None
            middle = (longest.at + longest.end) // 2
            half = Extent(middle, longest.end, taken=True)
            longest.end = middle
            self._open.insert(self._open.index(longest) + 1, half)
            return half

    def came(self, extent: Extent, count: int) -> int:
        """`count` bytes of the extent are on the disk; gives how many of those were still its own."""
        with self._lock:
            count = max(0, min(count, extent.end - extent.at))
            extent.at += count
            if extent.at >= extent.end and extent in self._open:
                self._open.remove(extent)
            return count

    def give_back(self, extent: Extent) -> None:
        """Whoever had it brings it no more; it goes back to the one before it, if that is being brought."""
        with self._lock:
            extent.taken = False
            at = self._open.index(extent)
            before = self._open[at - 1] if at else None
            if before is not None and before.taken and before.end == extent.at:
                before.end = extent.end
                self._open.remove(extent)

    @property
    def left(self) -> int:
        """How many bytes are still to come."""
        with self._lock:
            return sum(extent.end - extent.at for extent in self._open)

    def whole_until(self, total: int) -> int:
        """Up to where all bytes are there."""
        with self._lock:
            return self._open[0].at if self._open else total

    def still(self) -> list[tuple[int, int]]:
        """The open extents as they are now."""
        with self._lock:
            return [(extent.at, extent.end) for extent in self._open]
