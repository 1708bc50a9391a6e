"""What a carrier hands out: one text with its key; and how much of it is taken."""

from __future__ import annotations

import mmap
import zlib
from dataclasses import dataclass

from noderack_host.workflow.errors import WorkflowError

Data = bytes | mmap.mmap
"""A file's content; large files are mapped, so that a video of gigabytes costs no memory."""
MAX_ENTRY = 64 * 1024 * 1024
"""Most bytes that one embedded text may have, unpacked."""
MAX_RATIO = 200
"""Most times that unpacking may enlarge a text; JSON reaches 30, deflate's own limit is 1,032."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One embedded text: its key in the carrier, the place, and the text (or a nested file's bytes)."""

    key: str
    text: str | bytes
    where: str


def as_text(data: bytes) -> str:
    """Text of metadata fields: UTF-8 as everyone writes it, else Latin-1 as old standards say."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def inflate(data: Data, where: str, *, wbits: int = zlib.MAX_WBITS) -> bytes:
    """Unpack zlib or gzip data, but never into more than its size allows. Raises WorkflowError."""
    limit = min(MAX_ENTRY, max(len(data) * MAX_RATIO, 64 * 1024))
    engine = zlib.decompressobj(wbits)
    try:
        out = engine.decompress(data, limit)
    except zlib.error as cause:
        raise WorkflowError(f"compressed text is broken ({cause})", where) from cause
    if engine.unconsumed_tail:
        raise WorkflowError(f"compressed text unpacks to more than {limit} bytes; refused", where)
    return out
