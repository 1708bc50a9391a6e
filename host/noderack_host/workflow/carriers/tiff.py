"""EXIF blocks (TIFF structure): the text tags of every directory in them.

Editors write `workflow:{json}` and `prompt:{json}` into whatever text tag is free (Make, Model, and down),
others into UserComment or ImageDescription.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from noderack_host.workflow.carriers.entry import Entry, as_text

_TEXT_TYPES = {1: 1, 2: 1, 7: 1}
_POINTERS = (0x8769, 0x8825, 0xA005)
_USER_COMMENT = 0x9286
_XP_COMMENT = range(0x9C9B, 0x9CA0)
_NAMED = {0x010F: "workflow", 0x0110: "prompt"}
_MAX_DIRECTORIES = 16


def tags(block: bytes, where: str) -> Iterator[Entry]:
    """Text tags of an EXIF block, with or without its `Exif` prefix. Damaged parts are passed over."""
    body = block[6:] if block[:6] == b"Exif\0\0" else block
    order = {b"II": "<", b"MM": ">"}.get(body[:2])
    if order is None or len(body) < 8:
        return
    waiting, seen = [_number(body, 4, 4, order)], set[int]()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        offset = waiting.pop()
        if offset in seen or not 0 < offset < len(body) - 2:
            continue
        seen.add(offset)
        yield from _directory(body, offset, order, where, waiting)


def _directory(body: bytes, offset: int, order: str, where: str, waiting: list[int]) -> Iterator[Entry]:
    count = _number(body, offset, 2, order)
    for at in range(offset + 2, min(offset + 2 + 12 * count, len(body) - 11), 12):
        tag, kind, size, value = struct.unpack_from(f"{order}HHII", body, at)
        if tag in _POINTERS:
            waiting.append(value)
        elif kind in _TEXT_TYPES and size > 8:
            yield from _entry(tag, body[value : value + size], f"{where}, tag 0x{tag:04x}")
    waiting.append(_number(body, offset + 2 + 12 * count, 4, order))


def _entry(tag: int, raw: bytes, where: str) -> Iterator[Entry]:
    text = _tag_text(tag, raw).strip("\0 \r\n")
    key, colon, rest = text.partition(":")
    if colon and rest.lstrip()[:1] in ("{", "[") and key.strip().isidentifier():
        yield Entry(key.strip().lower(), rest, where)
    elif text[:1] in ("{", "["):
        yield Entry(_NAMED.get(tag, ""), text, where)


def _tag_text(tag: int, raw: bytes) -> str:
    if tag in _XP_COMMENT:
        return raw.decode("utf-16-le", "replace")
    if tag != _USER_COMMENT:
        return as_text(raw)
    prefix, body = raw[:8], raw[8:]
    if prefix == b"UNICODE\0":
        return body.decode("utf-16-be" if body[:1] == b"\0" else "utf-16-le", "replace")
    return as_text(body if prefix.startswith((b"ASCII", b"\0\0\0\0")) else raw)


def _number(body: bytes, at: int, size: int, order: str) -> int:
    return int.from_bytes(body[at : at + size], "little" if order == "<" else "big")
