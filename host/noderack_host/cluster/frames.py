"""What a worker and its process say to each other over pipes: a JSON value and, where need be, bytes.

A frame is two big-endian lengths, the JSON, the bytes. Nothing in it is code, and the two ends may be of
different generations.
"""

import asyncio
import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

Frame = tuple[dict[str, Any], bytes]
_LENGTHS = struct.Struct(">IQ")


def packed(head: Mapping[str, Any], data: bytes = b"") -> bytes:
    """The frame; what JSON has no form for becomes text."""
    text = json.dumps(head, separators=(",", ":"), default=str).encode()
    return _LENGTHS.pack(len(text), len(data)) + text + data


def read(stream: BinaryIO) -> Frame | None:
    """The next frame, or None at the end."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    text, data = _LENGTHS.unpack(lengths)
    return json.loads(stream.read(text)), stream.read(data)


async def read_from(stream: asyncio.StreamReader) -> Frame | None:
    """The same from an event loop's stream."""
    try:
        text, data = _LENGTHS.unpack(await stream.readexactly(_LENGTHS.size))
        return json.loads(await stream.readexactly(text)), await stream.readexactly(data)
    except asyncio.IncompleteReadError:
        return None
