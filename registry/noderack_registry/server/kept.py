"""Answers that are kept: the same question gets the same bytes for as long as the database says the same.

A route declares that its answer may be kept (`openapi_extra=says(…, kept=True)`): it depends on the address,
on Accept and on the database, and on nothing else. Such answers get an ETag, a client that has them already
gets 304, and whoever asks again gets them without a query. The database itself says whether it changed
(`Database.state`), so an answer is never older than what any process has written.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noderack_registry.server.database import Database
from noderack_registry.server.documents import KEPT

MOST_BYTES = 64 << 20
LARGEST = 16 << 20
_LINE = 1_000  # what an answer takes beside its bytes
_NOT_IN_304 = (b"content-length", b"content-type")

Key = tuple[object, ...]
Pair = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it goes out, and the state of the database that it was made from."""

    state: object
    headers: tuple[Pair, ...]
    body: bytes
    route: object

    @property
    def etag(self) -> bytes:
        return dict(self.headers)[b"etag"]

    async def send(self, send: Send, has: str) -> None:
        """Send it, or 304 to a client whose If-None-Match (`has`) names it."""
        known = has and matches(has, self.etag.decode())
        headers = [pair for pair in self.headers if not known or pair[0] not in _NOT_IN_304]
        await send({"type": "http.response.start", "status": 304 if known else 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if known else self.body})


def matches(header: str, etag: str) -> bool:
    """True if an If-None-Match header names this ETag, as weakly as the standard wants it compared."""
    return header.strip() == "*" or etag in (one.strip().removeprefix("W/") for one in header.split(","))


class Kept:
    """The newest answers, at most `most` bytes of them."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._size = most, 0
        self._answers: OrderedDict[Key, Answer] = OrderedDict()

    def get(self, key: Key, state: object) -> Answer | None:
        """The answer to this question, if it was made from this state."""
        answer = self._answers.get(key)
        if answer is None or answer.state != state:
            return None
        self._answers.move_to_end(key)
        return answer

    def put(self, key: Key, answer: Answer) -> None:
        """Keep an answer; the ones that were longest not asked for make room."""
        if len(answer.body) > LARGEST:
            return
        self._drop(key)
        self._answers[key] = answer
        self._size += len(answer.body) + _LINE
        while self._size > self._most:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: Key) -> None:
        old = self._answers.pop(key, None)
        self._size -= len(old.body) + _LINE if old else 0


class Keeping:
    """The layer of the app that keeps answers, and sends what is kept."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self._app, self._database, self._kept = app, database, Kept()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        key = (
            scope["scheme"],
            headers.get("host"),
            scope["path"],
            scope["query_string"],
            headers.get("accept"),
        )
        has, state = headers.get("if-none-match", ""), await self._database.state()
        answer = self._kept.get(key, state)
        if answer is None:
            # the state is from before the query: what is written meanwhile makes this answer an old one
            await self._app(scope, receive, _Held(scope, send, has, state, partial(self._kept.put, key)))
            return
        scope["route"] = answer.route
        await answer.send(send, has)


class _Held:
    """The way of one answer out: if it may be kept it is held until it is whole, and kept."""

    def __init__(
        self, scope: Scope, send: Send, has: str, state: object, keep: Callable[[Answer], None]
    ) -> None:
        self._scope, self._send, self._has, self._state, self._keep = scope, send, has, state, keep
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200 and self._may_be_kept():
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            answer = self._whole(self._start, message["body"])
            self._keep(answer)
            await answer.send(self._send, self._has)

    def _may_be_kept(self) -> bool:
        declared = getattr(self._scope.get("route"), "openapi_extra", None) or {}
        return bool(declared.get(KEPT))

    def _whole(self, start: Message, body: bytes) -> Answer:
        headers = dict(start["headers"])
        headers.setdefault(b"etag", b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode())
        headers.setdefault(b"cache-control", b"no-cache")
        headers.setdefault(b"vary", b"Accept")
        return Answer(self._state, tuple(headers.items()), body, self._scope["route"])
