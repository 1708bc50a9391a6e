"""WebM and Matroska: the tags of a segment. Clusters of pictures and sound are stepped over."""

from __future__ import annotations

from collections.abc import Iterator

from noderack_host.workflow.carriers.entry import Data, Entry, as_text

_SEGMENT, _TAGS, _TAG, _SIMPLE_TAG = 0x18538067, 0x1254C367, 0x7373, 0x67C8
_NAME, _STRING = 0x45A3, 0x4487
_INTO = frozenset((_SEGMENT, _TAGS, _TAG))
_MAX_DEPTH = 8

Element = tuple[int, int, int]


def read(data: Data) -> Iterator[Entry]:
    yield from _walk(data, 0, len(data), 0)


def _walk(data: Data, start: int, end: int, depth: int) -> Iterator[Entry]:
    for kind, at, stop in _elements(data, start, end):
        if kind == _SIMPLE_TAG:
            yield from _simple(data, at, stop)
        elif kind in _INTO and depth < _MAX_DEPTH:
            yield from _walk(data, at, stop, depth + 1)


def _simple(data: Data, at: int, stop: int) -> Iterator[Entry]:
    fields = {kind: data[a:b] for kind, a, b in _elements(data, at, stop)}
    if _NAME in fields and _STRING in fields:
        key = as_text(fields[_NAME]).strip("\0")
        yield Entry(key.lower(), as_text(fields[_STRING]), f"tag {key!r} at byte {at}")


def _elements(data: Data, at: int, end: int) -> Iterator[Element]:
    while at < end:
        kind, at = _variable(data, at, keep_marker=True)
        size, at = _variable(data, at, keep_marker=False)
        if kind <= 0 or size == -2:
            return
        stop = end if size == -1 else min(at + size, end)
        yield kind, at, stop
        at = stop


def _variable(data: Data, at: int, *, keep_marker: bool) -> tuple[int, int]:
    """An EBML number and where it ends; -1 for "unknown size", -2 for data that is none."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if not first or at + length > len(data):
        return -2, len(data)
    number = int.from_bytes(data[at : at + length], "big")
    if keep_marker:
        return number, at + length
    value = number - (1 << (7 * length))
    return (-1 if value == (1 << (7 * length)) - 1 else value), at + length
