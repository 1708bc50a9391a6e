"""WebP, JPEG and TIFF files: their EXIF blocks, XMP left alone; JPEG comments."""

from __future__ import annotations

from collections.abc import Iterator

from noderack_host.workflow.carriers.entry import Data, Entry, as_text
from noderack_host.workflow.carriers.tiff import tags

_NO_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


def webp(data: Data) -> Iterator[Entry]:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            yield from tags(data[at + 8 : at + 8 + size], f"EXIF chunk at byte {at}")
        at += 8 + size + (size & 1)


def jpeg(data: Data) -> Iterator[Entry]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _NO_LENGTH or marker == 0xFF:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA:
            return
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + size]
        yield from _segment(marker, body, f"segment FF{marker:02X} at byte {at}")
        at += 2 + max(size, 2)


def _segment(marker: int, body: bytes, where: str) -> Iterator[Entry]:
    if marker == 0xE1 and body.startswith(b"Exif\0\0"):
        yield from tags(body, where)
    elif marker == 0xFE:
        yield Entry("comment", as_text(body), where)


def tiff(data: Data) -> Iterator[Entry]:
    yield from tags(data[:], "TIFF directory")
