"""What packs use of the server object: routes to add, messages to send, prompts to look at.

Routes are collected here whether a server runs or not; a host that serves HTTP takes them from `routes` and
`app` of this object. Messages go to the `sender` that it sets, and nowhere until then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

Sender = Callable[[str | int, Any, str | None], None]


class BinaryEventTypes:
    """Numbers of the binary messages (host contract, 3.4)."""

    PREVIEW_IMAGE = 1
    UNENCODED_PREVIEW_IMAGE = 2
    TEXT = 3
    PREVIEW_IMAGE_WITH_METADATA = 4


class Server:
    """See the top of this file."""

    def __init__(self) -> None:
        self.app = web.Application()
        self.routes = web.RouteTableDef()
        self.supports = ["custom_nodes_from_web"]
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        self.last_prompt_id: str | None = None
        self.number = 0
        self.port = 8188
        self.address = "127.0.0.1"
        self.sockets: dict[str, Any] = {}
        self.on_prompt_handlers: list[Callable[[Any], Any]] = []
        self.node_replacements: list[dict[str, Any]] = []
        self.prompt_queue: Any = None
        self.sender: Sender | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The server's event loop; one of its own while nothing serves."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    @loop.setter
    def loop(self, value: asyncio.AbstractEventLoop) -> None:
        self._loop = value

    def send_sync(self, event: str | int, data: Any, sid: str | None = None) -> None:
        """Sends a message to one client, or to all."""
        if self.sender is not None:
            self.sender(event, data, sid)

    async def send(self, event: str | int, data: Any, sid: str | None = None) -> None:
        self.send_sync(event, data, sid)

    async def send_json(self, event: str, data: Any, sid: str | None = None) -> None:
        self.send_sync(event, data, sid)

    def send_progress_text(self, text: str | bytes, node_id: str, sid: str | None = None) -> None:
        """A line of text under a node."""
        body = text.encode() if isinstance(text, str) else text
        named = node_id.encode()
        self.send_sync(BinaryEventTypes.TEXT, len(named).to_bytes(4, "big") + named + body, sid)

    def add_on_prompt_handler(self, handler: Callable[[Any], Any]) -> None:
        """`handler(json) → json` sees each prompt that is posted, and may rewrite it."""
        self.on_prompt_handlers.append(handler)

    def trigger_on_prompt(self, json_data: Any) -> Any:
        """Runs the handlers in their order; one that fails is told and skipped."""
        for handler in self.on_prompt_handlers:
            try:
                json_data = handler(json_data)
            except Exception:  # pack code
                logging.getLogger("noderack.compat").exception("a pack's prompt handler failed")
        return json_data

    def queue_updated(self) -> None:
        """Tells clients that the queue changed; the host does so by itself."""

    def add_routes(self) -> None:
        """Routes are taken over when the host starts serving."""

    def get_queue_info(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": 0}}
