"""A real file server on loopback that misbehaves on request, as the hosts of models do."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLICE = 0.02  # seconds between two pieces of a slow answer


@dataclass
class Shelf:
    """`files` maps a path to bytes, `status` to (code, headers), `redirect` to an address.

    `cut` ends each answer after that many bytes; `ranges` False ignores Range; `rate` is what each connection
    gets in bytes a second; `most` answers more connections than that with 429. `signed` maps a path to that
    of a file, through a redirect to an address that is good for `uses` requests. Files go with `headers`.
    `seen` is every request as (path, headers).
    """

    files: dict[str, bytes] = field(default_factory=dict)
    status: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    redirect: dict[str, str] = field(default_factory=dict)
    signed: dict[str, str] = field(default_factory=dict)
    uses: int = 1
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    cut: int | None = None
    ranges: bool = True
    rate: float | None = None
    most: int | None = None
    tag: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/octet-stream"
    url: str = ""
    now: int = 0
    peak: int = 0
    given: dict[str, tuple[str, int]] = field(default_factory=dict)
    number: Iterator[int] = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sign(self, path: str) -> str:
        """A new address for the file behind `path`."""
        place = f"/signed/{next(self.number)}"
        self.given[place] = (self.signed[path], self.uses)
        return self.url.replace("127.0.0.1", "localhost") + place

    def behind(self, path: str) -> str | None:
        """The file's path for an address that was signed, None when it has expired."""
        with self.lock:
            file, uses = self.given[path]
            self.given[path] = (file, uses - 1)
        return file if uses > 0 else None


class ShelfHandler(BaseHTTPRequestHandler):
    """Answers from the server's shelf."""

    shelf: Shelf
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self.do_GET()

    def do_GET(self) -> None:
        """One file, or what the shelf says instead."""
        shelf, path = self.shelf, self.path.partition("?")[0]
        shelf.seen.append((self.path, dict(self.headers)))
        if path in shelf.redirect:
            return self._head(302, {"Location": shelf.redirect[path]}, 0)
        if path in shelf.signed:
            return self._head(302, {"Location": shelf.sign(path)}, 0)
        if path in shelf.given:
            file = shelf.behind(path)
            if file is None:
                return self._head(403, {}, 0)
            path = file
        if path in shelf.status or path not in shelf.files:
            code, headers = shelf.status.get(path, (404, {}))
            return self._head(code, headers, 0)
        with shelf.lock:
            shelf.now += 1
            shelf.peak = max(shelf.peak, shelf.now)
            crowded = shelf.most is not None and shelf.now > shelf.most
        try:
            return self._head(429, {}, 0) if crowded else self._file(shelf.files[path])
        finally:
            with shelf.lock:
                shelf.now -= 1

    def _file(self, body: bytes) -> None:
        shelf, wanted = self.shelf, self.headers.get("Range")
        facts = {**shelf.headers, **({"ETag": shelf.tag} if shelf.tag else {})}
        changed = shelf.tag and self.headers.get("If-Range") not in (None, shelf.tag)
        part = body
        if wanted and shelf.ranges and not changed:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, len(body) - int(last))
            end = int(last) + 1 if first and last else len(body)
            if start >= len(body):
                return self._head(416, {}, 0)
            part = body[start:end]
            span = f"bytes {start}-{start + len(part) - 1}/{len(body)}"
            self._head(206, {"Content-Range": span, **facts}, len(part))
        else:
            self._head(200, {"Accept-Ranges": "bytes", **facts} if shelf.ranges else facts, len(part))
        if self.command == "HEAD":
            return None
        cut = shelf.cut is not None and len(part) > shelf.cut
        with suppress(ConnectionError):
            self._send(part[: shelf.cut] if cut else part)
        if cut:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        return None

    def _send(self, part: bytes) -> None:
        if not self.shelf.rate:
            self.wfile.write(part)
            return
        began, step = time.monotonic(), max(1, int(self.shelf.rate * SLICE))
        for at in range(0, len(part), step):
            self.wfile.write(part[at : at + step])
            time.sleep(max(0.0, began + (at + step) / self.shelf.rate - time.monotonic()))

    def _head(self, code: int, headers: dict[str, str], length: int) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": self.shelf.kind, **headers, "Content-Length": length}.items():
            self.send_header(name, str(value))
        self.end_headers()


@contextmanager
def serving_shelf() -> Iterator[Shelf]:
    """An empty shelf, served until the end of the block."""
    made = Shelf()
    handler = type("Handler", (ShelfHandler,), {"shelf": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
