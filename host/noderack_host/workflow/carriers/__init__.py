"""The files that carry workflows, told apart by their first bytes, never by their names.

Each carrier is a function from bytes to `Entry` values: the texts in it under a key (`workflow`, `prompt`,
or another), with the place. None of them decodes pictures or sound, and all of them stop at `MAX_ENTRY`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

from noderack_host.workflow.carriers.entry import MAX_ENTRY, Data, Entry

Reader = Callable[[Data], Iterator[Entry]]


def _looks_like_svg(head: bytes) -> bool:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith((b"<svg", b"<?xml"))


# name, test of the first 64 bytes, module of the reader. Imported only when a file of the kind is met.
_KINDS: tuple[tuple[str, Callable[[bytes], bool], str], ...] = (
    ("png", lambda h: h.startswith(b"\x89PNG\r\n\x1a\n"), "png"),
    ("webp", lambda h: h[:4] == b"RIFF" and h[8:12] == b"WEBP", "exif:webp"),
    ("jpeg", lambda h: h.startswith(b"\xff\xd8\xff"), "exif:jpeg"),
    ("tiff", lambda h: h[:4] in (b"II*\0", b"MM\0*"), "exif:tiff"),
    ("gif", lambda h: h[:6] in (b"GIF87a", b"GIF89a"), "gif"),
    ("mp4", lambda h: h[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"), "mp4"),
    ("matroska", lambda h: h.startswith(b"\x1a\x45\xdf\xa3"), "matroska"),
    ("mp3", lambda h: h.startswith(b"ID3"), "id3"),
    ("flac", lambda h: h.startswith(b"fLaC"), "vorbis:flac"),
    ("ogg", lambda h: h.startswith(b"OggS"), "vorbis:ogg"),
    ("wav", lambda h: h[:4] == b"RIFF" and h[8:12] == b"WAVE", "id3:wav"),
    ("zip", lambda h: h[:4] in (b"PK\x03\x04", b"PK\x05\x06"), "archive:zipped"),
    ("gzip", lambda h: h.startswith(b"\x1f\x8b"), "archive:gzipped"),
    ("glb", lambda h: h.startswith(b"glTF"), "other:glb"),
    ("safetensors", lambda h: len(h) > 9 and h[8:9] == b"{" and h[3:8] == b"\0\0\0\0\0", "other:safetensors"),
    ("svg", _looks_like_svg, "other:svg"),
)


def carrier_of(data: Data) -> str | None:
    """Name of the container format, or None when the bytes are to be read as text."""
    head = data[:64]
    return next((name for name, test, _ in _KINDS if test(head)), None)


def entries(data: Data, carrier: str) -> Iterator[Entry]:
    """The texts embedded in `data`. Raises WorkflowError where the container itself is broken."""
    target = next(module for name, _, module in _KINDS if name == carrier)
    module, _, function = target.partition(":")
    reader: Reader = getattr(import_module(f"{__name__}.{module}"), function or "read")
    return reader(data)


__all__ = ["MAX_ENTRY", "Data", "Entry", "carrier_of", "entries"]
