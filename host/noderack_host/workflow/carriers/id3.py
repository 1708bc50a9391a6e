"""MP3 (ID3v2 text frames: TXXX, COMM, USLT) and WAV (an `id3 ` chunk, INFO comments)."""

from __future__ import annotations

from collections.abc import Iterator

from noderack_host.workflow.carriers.entry import Data, Entry, as_text

_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")


def read(data: Data) -> Iterator[Entry]:
    """Text frames of the tag at the start. Latin-1 frames that hold UTF-8 are read as UTF-8."""
    major, flags = data[3], data[5] if len(data) > 5 else 0
    end = min(10 + _synchsafe(data[6:10]), len(data))
    body = data[10:end]
    if flags & 0x80 and major < 4:
        body = body.replace(b"\xff\x00", b"\xff")
    at = _extended_header(body, major) if flags & 0x40 else 0
    yield from _frames(body, at, major)


def _frames(body: bytes, at: int, major: int) -> Iterator[Entry]:
    name_size, head = (3, 6) if major == 2 else (4, 10)
    while at + head <= len(body) and body[at]:
        name = body[at : at + name_size].decode("latin-1")
        raw = body[at + name_size : at + name_size + (3 if major == 2 else 4)]
        size = _synchsafe(raw) if major == 4 else int.from_bytes(raw, "big")
        if size <= 0:
            return
        yield from _frame(name, body[at + head : at + head + size], f"{name} frame at byte {at + 10}")
        at += head + size


def _frame(name: str, body: bytes, where: str) -> Iterator[Entry]:
    if name in ("TXXX", "TXX"):
        key, text = _pair(body[0], body[1:])
        yield Entry(key, text, where)
    elif name in ("COMM", "COM", "USLT", "ULT"):
        key, text = _pair(body[0], body[4:])
        yield Entry(key or "comment", text, where)
    elif name[:1] == "T" and len(body) > 1:
        yield Entry(name, _text(body[0], body[1:]), where)


def _pair(encoding: int, body: bytes) -> tuple[str, str]:
    end = b"\0\0" if encoding in (1, 2) else b"\0"
    at = body.find(end)
    while at > 0 and len(end) == 2 and at % 2:
        at = body.find(end, at + 1)
    if at < 0:
        return "", _text(encoding, body)
    return _text(encoding, body[:at]), _text(encoding, body[at + len(end) :])


def _text(encoding: int, raw: bytes) -> str:
    if encoding in (0, 3) or encoding >= len(_ENCODINGS):
        return as_text(raw).strip("\0")
    return raw.decode(_ENCODINGS[encoding], "replace").strip("\0\ufeff")


def _synchsafe(raw: bytes) -> int:
    return sum((byte & 0x7F) << shift for byte, shift in zip(raw, (21, 14, 7, 0), strict=False))


def _extended_header(body: bytes, major: int) -> int:
    return _synchsafe(body[:4]) if major == 4 else 4 + int.from_bytes(body[:4], "big")


def wav(data: Data) -> Iterator[Entry]:
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + size]
        if kind in (b"id3 ", b"ID3 ") and body[:3] == b"ID3" and len(body) > 10:
            yield from read(body)
        elif kind == b"LIST" and body[:4] == b"INFO":
            yield from _info(body)
        at += 8 + size + (size & 1)


def _info(body: bytes) -> Iterator[Entry]:
    at = 4
    while at + 8 <= len(body):
        size = int.from_bytes(body[at + 4 : at + 8], "little")
        name = body[at : at + 4].decode("latin-1")
        yield Entry(name, as_text(body[at + 8 : at + 8 + size]).strip("\0"), f"INFO item {name}")
        at += 8 + size + (size & 1)
