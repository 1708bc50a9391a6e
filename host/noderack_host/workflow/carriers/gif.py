"""GIF: comment extensions, where some video packs put the workflow."""

from __future__ import annotations

from collections.abc import Iterator

from noderack_host.workflow.carriers.entry import Data, Entry, as_text


def read(data: Data) -> Iterator[Entry]:
    at = 13 + _table(data[10:11])
    while at + 2 <= len(data):
        if data[at] == 0x21:
            body, after = _blocks(data, at + 2)
            if data[at + 1] == 0xFE:
                yield Entry("comment", as_text(body), f"comment at byte {at}")
        elif data[at] == 0x2C:
            _, after = _blocks(data, at + 11 + _table(data[at + 9 : at + 10]))
        else:
            return
        at = after


def _table(packed: bytes) -> int:
    flags = packed[0] if packed else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks(data: Data, at: int) -> tuple[bytes, int]:
    parts = []
    while at < len(data) and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts), at + 1
