"""Async nodes under way: they run in the lane, and land here one after the other."""

import queue
from dataclasses import dataclass
from typing import Any

from noderack_host.calling import Results, close
from noderack_host.lane import Lane, together
from noderack_host.work import Work

_PATIENCE = 5.0  # seconds that cancelled async nodes get to clean up


@dataclass(frozen=True, slots=True)
class Landed:
    """An async node that is done: what its calls gave, or its error."""

    work: Work
    started: float
    results: list[Any]
    error: BaseException | None


class Flights:
    """The async nodes of one run."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._flying: dict[str, tuple[Work, float, Results]] = {}
        self._landed: queue.SimpleQueue[tuple[str, Any, BaseException | None] | None] = queue.SimpleQueue()

    def __bool__(self) -> bool:
        return bool(self._flying)

    @property
    def arrived(self) -> bool:
        """Whether `land` would not have to wait."""
        return not self._landed.empty()

    def start(self, work: Work, started: float, results: Results) -> None:
        """Has a node's results awaited."""
        self._flying[work.id] = (work, started, results)
        self._lane.submit(together(results), lambda found, error: self._landed.put((work.id, found, error)))

    def wake(self) -> None:
        """Ends a wait in `land`."""
        self._landed.put(None)

    def land(self) -> Landed | None:
        """The next node that is done, waiting for it; None if it was woken."""
        found = self._landed.get()
        if found is None:
            return None
        node_id, results, error = found
        work, started, calls = self._flying.pop(node_id)
        close(calls)
        return Landed(work, started, results, error)

    def abandon(self) -> None:
        """Cancels what is still under way, and waits for it a moment."""
        if self._flying:
            self._lane.cancel()
        while self._flying:
            try:
                landed = self._landed.get(timeout=_PATIENCE)
            except queue.Empty:
                return
            if landed is not None:
                close(self._flying.pop(landed[0])[2])
