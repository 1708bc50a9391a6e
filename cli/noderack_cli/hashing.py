"""sha256 of a file while it is written: on a thread of its own, since hashing lets other threads run."""

from __future__ import annotations

import hashlib
import queue
import threading
from pathlib import Path
from types import TracebackType

READ_AHEAD = 1 << 22
WAITING = 16  # blocks that may wait to be hashed: what bounds the memory


class Digest:
    """sha256 of a file's beginning, fed as bytes come in order, or read from the file where they did not.

    A context manager: its thread ends with the block. `at` is up to where the file was fed.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.at = file, 0
        self._sum = hashlib.sha256()
        self._queue: queue.Queue[bytes | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._hash, daemon=True)

    def __enter__(self) -> Digest:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _hash(self) -> None:
        while (data := self._queue.get()) is not None:
            self._sum.update(data)

    def feed(self, data: bytes, at: int) -> None:
        """`data` was written at `at`; what is not next in the file is left for `read_until`."""
        if at == self.at:
            self.at += len(data)
            self._queue.put(data)

    def read_until(self, end: int) -> None:
        """Read what is in the file and was not fed."""
        if self.at >= end:
            return
        with self.file.open("rb", buffering=0) as file:
            file.seek(self.at)
            while self.at < end and (block := file.read(min(READ_AHEAD, end - self.at))):
                self.feed(block, self.at)

    def hexdigest(self) -> str:
        """The sum of all that was fed; nothing can be fed afterwards."""
        self._queue.put(None)
        self._thread.join()
        return self._sum.hexdigest()
