"""What a run says, as messages for clients: pictures encoded, progress not too often."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from noderack_host.events import Event, Progress
from noderack_host.preview import Picture

log = logging.getLogger(__name__)
Message = dict[str, Any]
"""{"type": …, "data": …}, as clients know it."""
Hear = Callable[[Message, Picture | None], None]
"""Takes what a prompt says, in the order it says it; called in any thread, never twice at once."""
LOG = "noderack.log"
"""What a prompt logged where it ran, if that is not here: lines, and the node."""
PROGRESS_SECONDS = 0.1  # how often a node's progress is told, but for its first and last
PICTURE_SECONDS = 0.3  # how often a picture is made where a node leaves that to us


class Outlet:
    """Lets a run's events through in the form of messages: pictures encoded, progress not too often.

    extra: what was sent with the prompt; editors switch previews off in it.
    """

    def __init__(self, hear: Hear, extra: Mapping[str, Any]) -> None:
        self._hear = hear
        self._previews = extra.get("preview_method") != "none"
        self._last = self._pictured = 0.0
        self._edge: tuple[str, float] | None = None

    def __call__(self, event: Event) -> None:
        picture = None
        if event.name in ("progress", "progress_state"):
            picture = self._picture(getattr(event, "preview", None)) if self._previews else None
            if picture is None and not self._is_due(event):
                return
        self._hear(event.as_dict(), picture)

    def _picture(self, preview: Any) -> Picture | None:
        if not callable(preview):
            return Picture.of(preview)
        if time.monotonic() - self._pictured < PICTURE_SECONDS:
            return None
        try:
            return Picture.of(preview())
        except Exception as cause:  # a picture is not worth a run
            log.warning("no preview: %s", cause)
            return None
        finally:
            self._pictured = time.monotonic()

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
