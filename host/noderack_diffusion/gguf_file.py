"""GGUF files: a header of keys and tensors, then the tensors' bytes. ``store`` makes a ``Store`` of it.

Source: the GGUF specification of the ggml project, versions 2 and 3.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from noderack_diffusion.errors import FileError
from noderack_diffusion.gguf_blocks import PACKINGS, PLAIN

MAGIC = b"GGUF"
MAX_COUNT = 200_000
MAX_TEXT = 1 << 24
MAX_LIST = 1 << 22
MAX_DIMS = 8
_KEPT = 16
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_SHAPE_KEY = "comfy.gguf.orig_shape."


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: its shape, and the bytes that it lies in, counted from the file's beginning."""

    shape: tuple[int, ...]
    kind: int
    start: int
    end: int

    @property
    def dtype(self) -> torch.dtype:
        """What reading it gives."""
        return PLAIN.get(self.kind, torch.float32)


class _Reader:
    """Reads numbers and texts, and refuses lengths that no file has."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def number(self, form: str) -> Any:
        size = struct.calcsize(f"<{form}")
        raw = self.file.read(size)
        if len(raw) < size:
            raise ValueError("it ends in the middle")
        return struct.unpack(f"<{form}", raw)[0]

    def count(self, most: int, what: str) -> int:
        found = int(self.number("Q"))
        if found > most:
            raise ValueError(f"it announces {found} {what}")
        return found

    def text(self) -> str:
        return self.file.read(self.count(MAX_TEXT, "letters")).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind == _LIST and depth < 2:
            inner = int(self.number("I"))
            items = [self.value(inner, depth + 1) for _ in range(self.count(MAX_LIST, "items"))]
            return items if len(items) <= _KEPT else None
        if kind not in _NUMBERS:
            raise ValueError(f"it has a value of the unknown kind {kind}")
        return self.number(_NUMBERS[kind])


def read_gguf(path: Path, file: BinaryIO) -> tuple[dict[str, Entry], dict[str, str]]:
    """The tensors and the texts of a header; raises FileError that says what is wrong with it."""
    try:
        return _read(_Reader(file), path.stat().st_size)
    except (ValueError, KeyError, OverflowError, MemoryError) as cause:
        raise FileError(f"the header of {path} is damaged ({cause}); download the file again") from cause


def _read(reader: _Reader, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    if reader.file.read(4) != MAGIC or (version := reader.number("I")) not in (2, 3):
        raise ValueError("it is no GGUF file of version 2 or 3")
    tensors, keys = reader.count(MAX_COUNT, "tensors"), reader.count(MAX_COUNT, "keys")
    told = {reader.text(): reader.value(reader.number("I")) for _ in range(keys)}
    rows = [_row(reader) for _ in range(tensors)]
    alignment = told.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 16:
        raise ValueError(f"it has the alignment {alignment!r}")
    data = -(-reader.file.tell() // alignment) * alignment
    entries = {name: _entry(name, dims, kind, data + at, told, size) for name, dims, kind, at in rows}
    return entries, {"gguf.version": str(version), **_texts(told)}


def _row(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    name, dims = reader.text(), int(reader.number("I"))
    if dims > MAX_DIMS:
        raise ValueError(f"tensor {name!r} has {dims} dimensions")
    shape = tuple(int(reader.number("Q")) for _ in range(dims))
    return name, shape[::-1], int(reader.number("I")), int(reader.number("Q"))


def _entry(
    name: str, shape: tuple[int, ...], kind: int, start: int, told: Mapping[str, Any], size: int
) -> Entry:
    weights = math.prod(shape)
    if kind in PLAIN:
        length = weights * PLAIN[kind].itemsize
    elif kind in PACKINGS and weights % PACKINGS[kind].weights == 0:
        length = weights // PACKINGS[kind].weights * PACKINGS[kind].size
    else:
        raise ValueError(f"tensor {name!r} is packed in a way that is not known here (number {kind})")
    if start + length > size:
        raise ValueError(f"tensor {name!r} does not lie in it")
    was = told.get(f"{_SHAPE_KEY}{name}")
    if isinstance(was, list) and math.prod(was) == weights:
        shape = tuple(int(n) for n in was)
    return Entry(shape, kind, start, start + length)


def _texts(told: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: str(value) for key, value in told.items() if not isinstance(value, list) and value is not None
    }
