"""Uploads on their way in: streamed into a file of our own, hashed and bounded as they come."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from noderack_registry.server.blobs import disk_errors
from noderack_registry.server.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file that has come in whole."""

    path: Path
    sha256: str
    size: int


@contextmanager
def waiting_room(folder: Path) -> Iterator[Path]:
    """A path for one upload; whatever is left there afterwards is removed."""
    with disk_errors():
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / secrets.token_hex(16)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


async def receive(blocks: AsyncIterator[bytes], path: Path, most: int) -> Arrived:
    """Write the blocks to `path`. Raises Refusal for more than `most` bytes, or a full disk."""
    digest, size = hashlib.sha256(), 0
    with disk_errors(), path.open("xb") as file:
        async for block in blocks:
            size += len(block)
            if size > most:
                raise Refusal("too-large", f"the file is larger than {most} bytes")
            digest.update(block)
            await to_thread.run_sync(file.write, block)
        file.flush()
        os.fsync(file.fileno())
    return Arrived(path, digest.hexdigest(), size)
