"""The open sockets: who is there, what each understands, and how a message or a picture reaches them.

Every method is called in the event loop's thread; `Clients.tell` may be called from any thread.
"""

import asyncio
import json
import struct
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from noderack_host.preview import Picture

_PATIENCE = 256  # messages that may wait for a slow client before previews are left out
_PILE = 1 << 18  # bytes on their way to a client, above which the next ones wait
_LOOK_AGAIN = 0.01  # seconds


@dataclass(slots=True)
class Client:
    """One socket. `features` is what the client said that it understands."""

    socket: web.WebSocketResponse
    features: Mapping[str, Any] = field(default_factory=dict)
    waiting: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)

    async def write(self, transport: asyncio.Transport) -> None:
        """Sends what waits, in order, until the socket closes; what waits together goes out in one piece."""
        while not (self.socket.closed or transport.is_closing()):
            frames = [await self.waiting.get()]
            while not self.waiting.empty():
                frames.append(self.waiting.get_nowait())
            transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
            while transport.get_write_buffer_size() > _PILE and not transport.is_closing():
                await asyncio.sleep(_LOOK_AGAIN)


def frame(message: str | bytes) -> bytes:
    """A message as the frame of a socket (RFC 6455 §5.2): whole, not compressed, not masked.

    Made once for all clients, and written many at a time: each write of its own costs more than the rest.
    """
    text = isinstance(message, str)
    data = message.encode() if isinstance(message, str) else message
    first, size = 0x80 | (1 if text else 2), len(data)
    if size < 126:
        return bytes((first, size)) + data
    if size < 1 << 16:
        return struct.pack(">BBH", first, 126, size) + data
    return struct.pack(">BBQ", first, 127, size) + data


_encoded = json.JSONEncoder(default=str, separators=(",", ":")).encode


class Clients:
    """All clients by their ids. `features` is what the server tells when asked what it understands."""

    def __init__(self, features: Mapping[str, Any]) -> None:
        self.features = features
        self._by_id: dict[str, Client] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._by_id)

    def of(self, client_id: str) -> Client | None:
        """The client of that id, if it is connected."""
        return self._by_id.get(client_id)

    async def serve(self, request: web.Request, greeting: "Greeting") -> web.WebSocketResponse:
        """Keeps one socket until it closes; a second socket of the same id replaces the first."""
        self._loop = asyncio.get_running_loop()
        response = web.WebSocketResponse(max_msg_size=1 << 20, heartbeat=30, compress=False)
        await response.prepare(request)
        assert request.transport is not None  # it was there a moment ago
        client_id = request.query.get("clientId") or uuid.uuid4().hex
        client = Client(response)
        self._by_id[client_id] = client
        for message in greeting(client_id):
            client.waiting.put_nowait(frame(json.dumps(message)))
        writer = asyncio.create_task(client.write(request.transport))
        try:
            await self._listen(client)
        finally:
            writer.cancel()
            if self._by_id.get(client_id) is client:
                del self._by_id[client_id]
        return response

    async def _listen(self, client: Client) -> None:
        async for message in client.socket:
            told = _json(message.data) if message.type is WSMsgType.TEXT else None
            if isinstance(told, dict) and told.get("type") == "feature_flags":
                client.features = told.get("data") or {}
                answer = json.dumps({"type": "feature_flags", "data": self.features})
                client.waiting.put_nowait(frame(answer))

    def send(self, message: Mapping[str, Any], client_id: str | None = None) -> None:
        """Sends a JSON message to one client, or to all of them."""
        if chosen := self._chosen(client_id):
            made = frame(_encoded(message))
            for client in chosen:
                client.waiting.put_nowait(made)

    def send_bytes(self, data: bytes, client_id: str | None = None) -> None:
        """Sends a binary message as it is."""
        if chosen := self._chosen(client_id):
            made = frame(data)
            for client in chosen:
                client.waiting.put_nowait(made)

    def preview(self, picture: Picture, about: Mapping[str, Any], client_id: str | None = None) -> None:
        """Sends a picture in the form that each client announced; slow clients go without."""
        made: dict[bool, bytes] = {}
        for client in self._chosen(client_id):
            if client.waiting.qsize() < _PATIENCE:
                rich = bool(client.features.get("supports_preview_metadata"))
                if rich not in made:
                    made[rich] = frame(picture.with_metadata(about) if rich else picture.plain())
                client.waiting.put_nowait(made[rich])

    def tell(self, message: Mapping[str, Any], client_id: str | None = None) -> None:
        """`send` from any thread: what packs call."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.send, message, client_id)

    def tell_bytes(self, data: bytes, client_id: str | None = None) -> None:
        """`send_bytes` from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.send_bytes, data, client_id)

    async def close(self) -> None:
        """Ends every socket: a server that stops would wait for them."""
        open_ones = [client.socket for client in self._by_id.values()]
        await asyncio.gather(*(one.close(code=WSCloseCode.GOING_AWAY) for one in open_ones))

    def _chosen(self, client_id: str | None) -> list[Client]:
        if client_id is None:
            return list(self._by_id.values())
        found = self._by_id.get(client_id)
        return [] if found is None else [found]


class Greeting:
    """What a client hears first: the queue's length, and what of its own is running."""

    def __init__(self, remaining: int, running: Iterable[tuple[str, str, str | None]]) -> None:
        """`running` are the prompts under way: client, prompt id, node."""
        self._remaining = remaining
        self._running = tuple(running)

    def __call__(self, client_id: str) -> list[dict[str, Any]]:
        """The messages for this client."""
        status = {"status": {"exec_info": {"queue_remaining": self._remaining}}, "sid": client_id}
        messages: list[dict[str, Any]] = [{"type": "status", "data": status}]
        for client, prompt_id, node in self._running:
            if client == client_id:
                messages.append({"type": "executing", "data": {"node": node, "prompt_id": prompt_id}})
        return messages


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
