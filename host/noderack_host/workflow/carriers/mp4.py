"""MP4, MOV, M4A, AVIF, HEIC: QuickTime metadata keys, iTunes items (`©cmt`), user data, EXIF items."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from noderack_host.workflow.carriers.entry import Data, Entry, as_text
from noderack_host.workflow.carriers.tiff import tags

_CONTAINERS = frozenset((b"moov", b"udta", b"trak", b"mdia", b"minf"))
_COMMENTS = frozenset((b"\xa9cmt", b"\xa9des", b"desc", b"\xa9lyr", b"ldes", b"\xa9too", b"\xa9nam"))
_MAX_DEPTH = 12

Box = tuple[bytes, int, int]


def read(data: Data) -> Iterator[Entry]:
    yield from _walk(data, 0, len(data), 0)


def _boxes(data: Data, at: int, end: int) -> Iterator[Box]:
    while at + 8 <= end:
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = end - at
        if size < head:
            return
        yield kind, at + head, min(at + size, end)
        at += size


def _walk(data: Data, start: int, end: int, depth: int) -> Iterator[Entry]:
    if depth > _MAX_DEPTH:
        return
    for kind, at, stop in _boxes(data, start, end):
        if kind in _CONTAINERS:
            yield from _walk(data, at, stop, depth + 1)
        elif kind == b"meta":
            yield from _meta(data, at, stop)
        elif kind[:1] == b"\xa9" and stop - at > 4:
            yield Entry(_name(kind), as_text(data[at + 4 : stop]), f"{_name(kind)} box at byte {at - 8}")


def _meta(data: Data, at: int, stop: int) -> Iterator[Entry]:
    # A QuickTime `meta` holds boxes at once; an ISO one has four bytes of version and flags before them.
    inner = at if data[at + 4 : at + 8] in (b"hdlr", b"keys", b"ilst") else at + 4
    boxes = list(_boxes(data, inner, stop))
    keys = next((_keys(data, a, b) for kind, a, b in boxes if kind == b"keys"), [])
    for kind, a, b in boxes:
        if kind == b"ilst":
            yield from _items(data, a, b, keys)
        elif kind == b"iloc":
            yield from _located(data, a, b)


def _keys(data: Data, at: int, stop: int) -> list[str]:
    return [as_text(data[a:b]) for _, a, b in _boxes(data, at + 8, stop)]


def _items(data: Data, at: int, stop: int, keys: list[str]) -> Iterator[Entry]:
    for kind, a, b in _boxes(data, at, stop):
        number = int.from_bytes(kind, "big")
        named = number - 1 if 0 < number <= len(keys) else None
        parts = {k: (x, y) for k, x, y in _boxes(data, a, b)}
        if b"data" not in parts:
            continue
        x, y = parts[b"data"]
        key = keys[named] if named is not None else _freeform(data, parts) or _name(kind)
        yield Entry(key.removeprefix("mdta."), as_text(data[x + 8 : y]), f"metadata item {key!r} at byte {x}")


def _freeform(data: Data, parts: dict[bytes, tuple[int, int]]) -> str | None:
    if b"name" not in parts:
        return None
    a, b = parts[b"name"]
    return as_text(data[a + 4 : b])


def _located(data: Data, at: int, stop: int) -> Iterator[Entry]:
    """Items of AVIF and HEIC by their file offsets; those that begin as EXIF does are read."""
    version, sizes = data[at], data[at + 4 : at + 6]
    if len(sizes) < 2 or version > 2 or sizes[0] != 0x44:
        return
    wide = version == 2
    index = sizes[1] & 15 if version else 0
    per_item = (4 if wide else 2) + (2 if version else 0) + 2 + (sizes[1] >> 4) + 2
    count, at = int.from_bytes(data[at + 6 : at + (10 if wide else 8)], "big"), at + (10 if wide else 8)
    for _ in range(min(count, 64)):
        at += per_item
        for _ in range(min(int.from_bytes(data[at - 2 : at], "big"), 16)):
            if at + index + 8 > stop:
                return
            offset, length = struct.unpack_from(">II", data, at + index)
            at += index + 8
            yield from _exif_item(data[offset : offset + min(length, 1 << 26)], offset)


def _exif_item(item: bytes, offset: int) -> Iterator[Entry]:
    start = 4 + int.from_bytes(item[:4], "big") if len(item) > 12 else 0
    for block in (item[start:], item[4:]):
        if block[:6] == b"Exif\0\0" or block[:4] in (b"II*\0", b"MM\0*"):
            yield from tags(block, f"EXIF item at byte {offset}")
            return


def _name(kind: bytes) -> str:
    return kind.decode("latin-1")
