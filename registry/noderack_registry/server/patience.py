"""How long the server waits for slow clients, so that a few of them cannot hold it for everybody.

A request's head must come within `silence` seconds of the connection or of its first byte; within a body and
while an answer is read, no pause may be longer; and a body must come at SLOWEST bytes a second on average.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from anyio import fail_after
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from noderack_registry.server.refusals import Refusal

T = TypeVar("T")
SLOWEST = 1024


class Patience:
    """The waiting for one client's body and for its reading."""

    def __init__(self, silence: float) -> None:
        self._silence, self._started, self._seen = silence, time.monotonic(), 0

    async def hear(self, receive: Callable[[], Awaitable[T]]) -> T:
        """The next part of a body. Raises Refusal when it does not come."""
        spent = time.monotonic() - self._started
        allowed = min(self._silence, self._silence + self._seen / SLOWEST - spent)
        with _told("the body came too slowly, or stopped"), fail_after(max(allowed, 0)):
            return await receive()

    def heard(self, size: int) -> None:
        """So many bytes came."""
        self._seen += size

    async def tell(self, send: Callable[[Any], Awaitable[None]], message: Any) -> None:
        """Send a part of an answer. Raises Refusal when the client does not take it."""
        with _told("the answer was not read"), fail_after(self._silence):
            await send(message)


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as cause:
        raise Refusal("too-slow", what, {"Connection": "close"}) from cause


def protocol(silence: float) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol, with a time limit for the head of a request."""
    base: Any = AutoHTTPProtocol

    class Hurried(base):  # type: ignore[misc]
        """Closes connections whose next request does not begin, or begins and does not go on."""

        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_waiting()
            elif self._waiting is None:
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _wait(self) -> None:
            self._waiting = self.loop.call_later(silence, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

    return Hurried
