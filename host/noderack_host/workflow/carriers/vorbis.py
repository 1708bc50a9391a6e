"""FLAC and Ogg (Vorbis, Opus): `KEY=value` comments."""

from __future__ import annotations

from collections.abc import Iterator

from noderack_host.workflow.carriers.entry import Data, Entry, as_text

_MAX_COMMENT_PACKET = 64 * 1024 * 1024


def flac(data: Data) -> Iterator[Entry]:
    at = 4
    while at + 4 <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        if kind & 0x7F == 4:
            yield from _comments(data[at + 4 : at + 4 + size], f"comment block at byte {at}")
        at += 4 + size
        if kind & 0x80:
            return


def ogg(data: Data) -> Iterator[Entry]:
    """The second packet of the first stream is its comment header."""
    for packet in _packets(data, limit=4):
        for magic in (b"\x03vorbis", b"OpusTags"):
            if packet.startswith(magic):
                yield from _comments(packet[len(magic) :], "comment header")
                return


def _packets(data: Data, limit: int) -> Iterator[bytes]:
    at, parts, size, found = 0, list[bytes](), 0, 0
    while found < limit and data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(lacing)
        for length in lacing:
            parts.append(data[at : at + length])
            at, size = at + length, size + length
            if length < 255:
                found += 1
                yield b"".join(parts)
                parts, size = [], 0
        if size > _MAX_COMMENT_PACKET:
            return


def _comments(body: bytes, where: str) -> Iterator[Entry]:
    at = 4 + int.from_bytes(body[:4], "little")
    count, at = int.from_bytes(body[at : at + 4], "little"), at + 4
    for number in range(min(count, len(body))):
        if at + 4 > len(body):
            return
        size = int.from_bytes(body[at : at + 4], "little")
        key, _, text = body[at + 4 : at + 4 + size].partition(b"=")
        yield Entry(as_text(key).lower(), as_text(text), f"{where}, comment {number}")
        at += 4 + size
