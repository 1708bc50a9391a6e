"""What kind of picture some bytes are and how large it is, from its first bytes alone. Nothing is decoded.

PNG, JPEG, WebP and GIF: the kinds that every browser shows and that hold no scripts. SVG is not among them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MOST_PIXELS = 64_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's media type, width and height in pixels."""

    media: str
    width: int
    height: int


def look(data: bytes) -> Picture | None:
    """The picture in these bytes; None for anything else, or one whose size cannot be read."""
    for starts, read in _KINDS:
        if data.startswith(starts):
            try:
                found = read(data)
            except (struct.error, IndexError):
                return None
            return found if found and 0 < found.width * found.height <= MOST_PIXELS else None
    return None


def _png(data: bytes) -> Picture | None:
    if data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24])
    return Picture("image/png", width, height)


def _gif(data: bytes) -> Picture:
    width, height = struct.unpack("<HH", data[6:10])
    return Picture("image/gif", width, height)


def _jpeg(data: bytes) -> Picture | None:
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            return None
        mark = data[at + 1]
        if mark == 0xFF:  # padding
            at += 1
        elif 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return Picture("image/jpeg", width, height)
        else:
            at += 2 + int(struct.unpack(">H", data[at + 2 : at + 4])[0])
    return None


def _webp(data: bytes) -> Picture | None:
    if data[8:12] != b"WEBP":
        return None
    kind, body = data[12:16], data[20:]
    if len(body) < 5 or (kind != b"VP8L" and len(body) < 10):
        return None
    if kind == b"VP8X":
        return Picture("image/webp", 1 + _low(body[4:7]), 1 + _low(body[7:10]))
    if kind == b"VP8L" and body[0] == 0x2F:
        bits = _low(body[1:5])
        return Picture("image/webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", body[6:10])
        return Picture("image/webp", width & 0x3FFF, height & 0x3FFF)
    return None


def _low(data: bytes) -> int:
    return int.from_bytes(data, "little")


_KINDS = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"RIFF", _webp),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
)
