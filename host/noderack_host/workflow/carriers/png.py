"""PNG: tEXt, zTXt and iTXt chunks, the private `comf` chunk of animated PNGs, eXIf.

Checksums are not looked at: 49 official example pictures have wrong ones, and browsers read them.
"""

from __future__ import annotations

from collections.abc import Iterator

from noderack_host.workflow.carriers.entry import Data, Entry, as_text, inflate
from noderack_host.workflow.carriers.tiff import tags

_SKIPPED = frozenset((b"IHDR", b"IDAT", b"PLTE", b"fdAT", b"fcTL", b"acTL"))


def read(data: Data) -> Iterator[Entry]:
    for kind, start, end in _chunks(data):
        where = f"{kind.decode('latin-1')} chunk at byte {start - 8}"
        body = data[start:end]
        if kind in (b"tEXt", b"comf"):
            key, _, text = body.partition(b"\0")
            yield Entry(as_text(key), as_text(text), where)
        elif kind == b"zTXt":
            key, _, rest = body.partition(b"\0")
            yield Entry(as_text(key), as_text(inflate(rest[1:], where)), where)
        elif kind == b"iTXt":
            yield _international(body, where)
        elif kind == b"eXIf":
            yield from tags(body, where)


def _chunks(data: Data) -> Iterator[tuple[bytes, int, int]]:
    at = 8
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        start, end = at + 8, min(at + 8 + size, len(data))
        if kind == b"IEND":
            return
        if kind not in _SKIPPED:
            yield kind, start, end
        at += 12 + size


def _international(body: bytes, where: str) -> Entry:
    key, _, rest = body.partition(b"\0")
    packed, rest = rest[:1] == b"\1", rest[2:]
    _language, _, rest = rest.partition(b"\0")
    _translated, _, text = rest.partition(b"\0")
    return Entry(as_text(key), as_text(inflate(text, where) if packed else text), where)
