"""What every request passes before a route sees it: Host check, body cap, safe headers, last resort."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noderack_registry.server.answers import send_refusal
from noderack_registry.server.metrics import Metrics
from noderack_registry.server.patience import Patience
from noderack_registry.server.rates import Buckets, Standing
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.settings import Settings

LOG = logging.getLogger("noderack.registry")
FORM_ROOM = 4 << 20
_STREAMED = ("/files/", "/blobs/")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


class Edge:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._reads = Buckets(settings.rates.reads, time.monotonic)
        self._writes = Buckets(settings.rates.writes, time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Answering(self, scope, receive, send)
        await request.run()

    def largest(self, path: str) -> int:
        """How many bytes a body sent to this path may have."""
        if path.startswith("/api/v1/blobs/"):
            return self._settings.largest_blob
        if path.startswith(("/legacy", "/upload/")):
            return self._settings.wheel.file + FORM_ROOM
        return self._settings.largest_body

    def patience(self) -> Patience:
        """The waiting for one request's client."""
        return Patience(self._settings.silence)

    def check_host(self, scope: Scope) -> None:
        """Raise Refusal for a Host that is not ours: a web page that points its own name at this machine."""
        hosts = self._settings.hosts
        said = Request(scope).headers.get("host", "")
        if hosts and said.rpartition(":")[0 if ":" in said and not said.endswith("]") else 2] not in hosts:
            raise Refusal("bad-host", f"this registry is not called {said[:80]!r}")

    def check_path(self, scope: Scope) -> None:
        """Raise Refusal for an address that some layer below would read in another way."""
        raw = scope.get("raw_path", b"") + b"?" + scope.get("query_string", b"")
        if b"%00" in raw or "\0" in scope["path"]:
            raise Refusal("bad-path", "the address holds a NUL character")

    def take(self, scope: Scope) -> Standing | None:
        """Count the request against its client's limit."""
        client = scope["client"][0] if scope.get("client") else ""
        buckets = self._reads if scope["method"] in ("GET", "HEAD") else self._writes
        return buckets.take(client)

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and log an answer: one line of JSON, without the query (it may hold what is private)."""
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.answered(route, scope["method"], status, seconds)
        if LOG.isEnabledFor(logging.INFO):
            line = {"method": scope["method"], "path": scope["path"][:300], "status": status}
            client = scope["client"][0] if scope.get("client") else None
            LOG.info(json.dumps({**line, "ms": round(seconds * 1000, 2), "client": client}))

    async def call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on to the app."""
        await self._app(scope, receive, send)


class _Answering:
    """One request on its way through."""

    def __init__(self, edge: Edge, scope: Scope, receive: Receive, send: Send) -> None:
        self._edge, self._scope, self._receive, self._send = edge, _read(scope), receive, send
        self._most, self._read = edge.largest(scope["path"]), 0
        self._patience = edge.patience()
        self._whole, self.status = False, 0
        self._standing: Standing | None = None

    async def run(self) -> None:
        started = time.perf_counter()
        try:
            await self._pass()
        finally:
            self._edge.answered(self._scope, self.status, time.perf_counter() - started)

    async def _pass(self) -> None:
        try:
            self._standing = self._edge.take(self._scope)
            if self._standing and not self._standing.passes:
                raise Refusal("too-many-requests", f"more than {self._standing.limit} requests a minute")
            self._edge.check_host(self._scope)
            self._edge.check_path(self._scope)
            await self._edge.call(self._scope, self._bounded, self._marked)
        except Refusal as refusal:
            await self._refuse(refusal)
        except Exception:  # the last resort: whatever it is must become an answer
            LOG.exception("%s %s failed", self._scope["method"], self._scope["path"])
            await self._refuse(Refusal("internal", "the registry failed to answer this"))

    async def _bounded(self) -> Message:
        if self._whole:  # whoever still listens waits for the client to go away
            return await self._receive()
        message = await self._patience.hear(self._receive)
        self._whole = not message.get("more_body", False)
        size = len(message.get("body", b""))
        self._patience.heard(size)
        self._read += size
        if self._read > self._most:
            raise Refusal("too-large", f"the body is larger than {self._most} bytes")
        return message

    async def _marked(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            limits = self._standing.headers() if self._standing else {}
            more = [(name.lower().encode(), value.encode()) for name, value in limits.items()]
            message["headers"] = [*message.get("headers", []), *_HEADERS, *more]
        if message.get("more_body"):
            await self._patience.tell(self._send, message)
        else:
            await self._send(message)

    async def _refuse(self, refusal: Refusal) -> None:
        if not self.status:
            await send_refusal(refusal)(self._scope, self._receive, self._marked)


def _read(scope: Scope) -> Scope:
    """HEAD is GET whose body the server below leaves out; only files have a shorter way of their own."""
    if scope["method"] != "HEAD" or scope["path"].startswith(_STREAMED):
        return scope
    return {**scope, "method": "GET"}
