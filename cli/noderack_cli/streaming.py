"""Brings the missing bytes of one part from one address: one connection, more where each alone is slow.

The bytes are hashed in order while they come. The first connection brings the beginning; the others take
halves of what is longest, and whatever one leaves undone another takes up.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from noderack_registry.schema import ModelManifest

from noderack_cli import part as parts
from noderack_cli.errors import FetchError
from noderack_cli.extents import Extent, Extents
from noderack_cli.hashing import Digest
from noderack_cli.part import State
from noderack_cli.sources import Access
from noderack_cli.web import Cut, ask, starts_at, total_of

CHUNK = 1 << 20
LOOK = 0.05  # seconds after which the speed of the first connection is judged
LONG = 1.0  # seconds that a download must still take to be worth more connections
FAST = 100e6  # bytes a second at which one connection is as good as several
SAVE = 1.0  # seconds between two notes of what is there
HELPER_TRIES = 3

Progress = Callable[[int, int | None], None]


@dataclass(slots=True)
class Throttle:
    """Lets at most `rate` bytes a second through, over all connections; None lets all through."""

    rate: float | None = None
    free: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def came(self, count: int) -> None:
        """`count` bytes came: waits until they may have."""
        if not self.rate:
            return
        with self.lock:
            now = time.monotonic()
            self.free = max(self.free, now) + count / self.rate
            wait = self.free - now
        time.sleep(wait)

    @property
    def chunk(self) -> int:
        """How many bytes to read at once, so that no wait is long."""
        return CHUNK if not self.rate else max(1024, min(CHUNK, int(self.rate / 8)))


@dataclass(slots=True)
class Manner:
    """How to download: connections for one file, bandwidth for all, and how to deal with silence."""

    connections: int = 8
    throttle: Throttle = field(default_factory=Throttle)
    retries: int = 5
    pauses: tuple[float, ...] = (0.2, 1.0, 3.0, 8.0, 20.0)


@dataclass(slots=True)
class Stream:
    """One address, one part. `run` returns sha256 and size of the whole, or raises Cut or FetchError."""

    url: str
    manifest: ModelManifest
    part: Path
    access: Access
    manner: Manner
    progress: Progress
    tag: str = ""
    total: int | None = None
    extents: Extents = field(default_factory=lambda: Extents(()))
    stop: threading.Event = field(default_factory=threading.Event)
    helpers: list[threading.Thread] = field(default_factory=list)
    began: float = 0.0
    came: int = 0
    saved: float = 0.0
    spread: bool = False  # bytes may be missing in the middle of the part

    @property
    def there(self) -> int:
        """How many bytes of the whole are there, if any of them came by this answer."""
        return self.total - self.extents.left if self.total is not None and self.came else 0

    def run(self) -> tuple[str, int]:
        """Bring what is missing; what came stays when this raises."""
        state, have = parts.load(self.part), parts.length(self.part)
        known = self.manifest.size
        if known is not None and have > known:
            parts.forget(self.part)
            state, have = State(), 0
        start = state.still[0][0] if state.still else have
        if have and not state.still and have == (known or (state.total if state.still is not None else None)):
            return self._whole(have)
        answer = ask(self.url, self.manifest, self.access, start, tag=state.tag)
        with closing(answer):
            return self._take_up(answer, state, start)

    def _whole(self, size: int) -> tuple[str, int]:
        with Digest(self.part) as digest:
            digest.read_until(size)
            return digest.hexdigest(), size

    def _take_up(self, answer: http.client.HTTPResponse, state: State, start: int) -> tuple[str, int]:
        resumed = starts_at(answer, start)
        self.total = total_of(answer.headers, start if resumed else 0)
        self.tag = answer.headers.get("ETag") or ""
        if not resumed or (state.total is not None and state.total != self.total):
            if resumed:  # a part of something else: ask for the beginning
                parts.forget(self.part)
                raise Cut("the file at the server is another one now")
            state, start = State(), 0
        with self.part.open("r+b" if resumed and start else "wb", buffering=0) as file:
            if self.total is None:
                return self._until_it_ends(answer, file)
            self.extents = Extents(state.still or ((start, self.total),))
            self.spread = bool(state.still)
            self._note()
            try:
                with Digest(self.part) as digest:
                    return self._all(answer, file, digest, self.total), self.total
            finally:
                self.stop.set()
                for helper in self.helpers:
                    helper.join()
                self._note()

    def _until_it_ends(self, answer: http.client.HTTPResponse, file: IO[bytes]) -> tuple[str, int]:
        """A server that does not say how much it sends."""
        with Digest(self.part) as digest:
            while data := self._read(answer):
                file.write(data)
                self.came += len(data)
                digest.feed(data, digest.at)
                self.progress(digest.at, None)
            return digest.hexdigest(), digest.at

    def _all(self, answer: http.client.HTTPResponse, file: IO[bytes], digest: Digest, total: int) -> str:
        digest.read_until(self.extents.whole_until(total))
        self.began, more = time.monotonic(), bool(answer.status == 206 or _ranges(answer))
        extent = self.extents.take(split=False)
        while extent is not None:
            self._bring(extent, answer, file, lambda data, at: self._in_order(data, at, digest, more))
            extent = self._next(digest, total)
            if extent is not None:
                answer = ask(self.url, self.manifest, self.access, extent.at, extent.end, self.tag)
                if not starts_at(answer, extent.at):
                    raise Cut("the server sent another part than was asked for")
        digest.read_until(total)
        return digest.hexdigest()

    def _next(self, digest: Digest, total: int) -> Extent | None:
        """An extent that nobody brings; waits, hashing, while others bring theirs. None when all is there."""
        while self.extents.left:
            extent = self.extents.take(split=False)
            if extent is not None:
                return extent
            digest.read_until(self.extents.whole_until(total))
            self._tell()
            time.sleep(0.02)
        return None

    def _bring(
        self,
        extent: Extent,
        answer: http.client.HTTPResponse,
        file: IO[bytes],
        each: Callable[[bytes, int], None],
    ) -> None:
        """Write the answer's bytes to the extent; raises Cut when they end before it does."""
        file.seek(extent.at)
        while extent.at < extent.end and not self.stop.is_set():
            data = self._read(answer)
            if not data:
                raise Cut(f"after {extent.at:,} of {self.total:,} bytes")
            at = extent.at
            file.write(data)
            count = self.extents.came(extent, len(data))
            self.came += count
            each(data[:count], at)

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            data = answer.read1(self.manner.throttle.chunk)
        except (OSError, http.client.HTTPException, ValueError) as cause:
            raise Cut(f"{cause or type(cause).__name__}") from cause
        self.manner.throttle.came(len(data))
        return data

    def _in_order(self, data: bytes, at: int, digest: Digest, more: bool) -> None:
        """What the first connection does with its bytes: hash, tell, and see whether it needs help."""
        digest.feed(data, at)
        self._tell()
        if more and not self.helpers and self._slow():
            self.spread = True
            self._note()
            for _ in range(self.manner.connections - 1):
                self.helpers.append(threading.Thread(target=self._help, daemon=True))
                self.helpers[-1].start()

    def _slow(self) -> bool:
        took = time.monotonic() - self.began
        if took < LOOK or self.manner.connections < 2:
            return False
        speed = self.came / took
        limit = min(FAST, 0.8 * (self.manner.throttle.rate or FAST))
        return speed < limit and self.extents.left > LONG * speed

    def _help(self) -> None:
        """Another connection: it leaves when there is nothing to take, or when it is not wanted."""
        tries = 0
        while not self.stop.is_set() and tries < HELPER_TRIES and (extent := self.extents.take()):
            start = extent.at
            try:
                self._help_with(extent)
            except FetchError:
                tries = HELPER_TRIES  # not wanted: too many connections
            except (Cut, OSError):
                tries = 0 if extent.at > start else tries + 1
            if extent.at < extent.end:
                self.extents.give_back(extent)
            self.stop.wait(self.manner.pauses[0] if tries else 0)

    def _help_with(self, extent: Extent) -> None:
        answer = ask(self.url, self.manifest, self.access, extent.at, extent.end, self.tag)
        with closing(answer), self.part.open("r+b", buffering=0) as file:
            if not starts_at(answer, extent.at):
                raise FetchError("the server sent another part than was asked for")
            self._bring(extent, answer, file, lambda data, at: None)

    def _tell(self) -> None:
        if self.total is not None:
            self.progress(self.total - self.extents.left, self.total)
        if time.monotonic() - self.saved >= SAVE:
            self._note()

    def _note(self) -> None:
        """Write down what is there, so that another process can go on from here."""
        self.saved = time.monotonic()
        with suppress(FileNotFoundError):
            still = tuple(self.extents.still()) if self.spread else None
            parts.save(self.part, State(self.total, self.tag, still))


def _ranges(answer: http.client.HTTPResponse) -> bool:
    return (answer.headers.get("Accept-Ranges") or "").lower() == "bytes"
