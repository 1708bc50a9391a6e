"""Where files live: by their sha256, written whole or not at all, never changed."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from noderack_registry.server.refusals import Refusal

CHUNK = 1 << 20


class BlobStore(Protocol):
    """What the service needs of a store. Keys are sha256 in hex, with '.metadata' for a wheel's METADATA."""

    def put(self, key: str, file: Path) -> None:
        """Take over the file at `file` (it may be moved). After this returns, a crash cannot lose it."""

    def open(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes from `start`. Raises KeyError when there is no such blob."""

    def path(self, key: str) -> Path | None:
        """The blob as a file of this machine, if it is one."""

    def size(self, key: str) -> int | None:
        """Length in bytes, None when there is no such blob."""

    def delete(self, key: str) -> None:
        """Remove it; nothing happens when it is not there."""

    def keys(self) -> Iterator[str]:
        """All keys."""


class FolderBlobs:
    """Blobs in a folder, in 256 sub-folders by the first two digits."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, file: Path) -> None:
        target = self._place(key)
        with disk_errors():
            target.parent.mkdir(exist_ok=True)
            beside = target.with_name(f"{target.name}.{secrets.token_hex(8)}.part")
            _move(file, beside)
            sync(beside)
            beside.replace(target)
            sync(target.parent)

    def open(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        try:
            file = self._place(key).open("rb")
        except FileNotFoundError as cause:
            raise KeyError(key) from cause
        return read_range(file, start, length)

    def path(self, key: str) -> Path | None:
        path = self._place(key)
        return path if path.is_file() else None

    def size(self, key: str) -> int | None:
        try:
            return self._place(key).stat().st_size
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        self._place(key).unlink(missing_ok=True)

    def keys(self) -> Iterator[str]:
        for folder in sorted(self._root.iterdir()):
            if folder.is_dir():
                yield from sorted(path.name for path in folder.iterdir())

    def _place(self, key: str) -> Path:
        if not key.replace(".", "").isalnum():
            raise KeyError(key)
        return self._root / key[:2] / key


def read_range(file: BinaryIO, start: int, length: int | None) -> Iterator[bytes]:
    """The bytes of an open file from `start`, at most `length`; closes it."""
    with file:
        file.seek(start)
        left = length
        while left is None or left > 0:
            block = file.read(CHUNK if left is None else min(left, CHUNK))
            if not block:
                return
            left = None if left is None else left - len(block)
            yield block


def sync(path: Path) -> None:
    """Make sure that a file's bytes, or a folder's entries, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as cause:
        if cause.errno != errno.EXDEV:
            raise
        with source.open("rb") as reading, target.open("wb") as writing:
            while block := reading.read(CHUNK):
                writing.write(block)


@contextmanager
def disk_errors() -> Iterator[None]:
    """A full disk becomes its own refusal."""
    try:
        yield
    except OSError as cause:
        if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Refusal("no-space", "the registry has no space left for this file") from cause
        raise


def open_store(url: str) -> BlobStore:
    """The store at `url`: a folder, or s3://bucket/prefix."""
    if url.startswith("s3://"):
        from noderack_registry.server.s3 import S3Blobs

        return S3Blobs(url)
    return FolderBlobs(Path(url))
