"""What a run says, as messages for clients: pictures encoded, progress not too often."""

import time
from collections.abc import Callable
from typing import Any

from noderack_host.events import Event, Progress
from noderack_host.preview import Picture

Message = dict[str, Any]
"""{"type": …, "data": …}, as clients know it."""
Hear = Callable[[Message, Picture | None], None]
"""Takes what a prompt says, in the order it says it; called in any thread, never twice at once."""
LOG = "noderack.log"
"""What a prompt logged where it ran, if that is not here: lines, and the node."""
PROGRESS_SECONDS = 0.1  # how often a node's progress is told, but for its first and last


class Outlet:
    """Lets a run's events through in the form of messages: pictures encoded, progress not too often."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._last = 0.0
        self._edge: tuple[str, float] | None = None

    def __call__(self, event: Event) -> None:
        picture = None
        if event.name in ("progress", "progress_state"):
            picture = Picture.of(getattr(event, "preview", None))
            if picture is None and not self._is_due(event):
                return
        self._hear(event.as_dict(), picture)

    def _is_due(self, event: Event) -> bool:
        now = time.monotonic()
        if isinstance(event, Progress) and event.value in (0, event.max):
            edge = (event.node, event.value)
            if edge != self._edge:
                self._edge = edge
                return True
        if now - self._last < PROGRESS_SECONDS:
            return False
        self._last = now
        return True
