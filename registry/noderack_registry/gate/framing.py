"""The ZIP structure, read strictly: every byte of the file is accounted for, or the file is refused.

Lenient readers disagree about odd archives, and what one of them shows another does not; here the table of
contents and the entries' own headers must say the same, with nothing before, between or after them.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from noderack_registry.gate.verdict import BadWheel

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")

STORED, DEFLATED = 0, 8
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_DATA_DESCRIPTOR = 0x8
_UTF8 = 0x800
_ZIP64_EXTRA, _UNICODE_PATH_EXTRA = 0x0001, 0x7075
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `start` is where its own header begins, `size` its unpacked length in bytes."""

    name: str
    raw_name: bytes
    method: int
    crc: int
    packed: int
    size: int
    start: int
    flags: int

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")


def entries(file: BinaryIO, length: int, most: int) -> tuple[Entry, ...]:
    """The entries of a ZIP file of `length` bytes, after checking how they fit together. Raises BadWheel."""
    count, size, start = _end_record(file, length)
    if count > most:
        raise BadWheel("too-many-entries", f"{count} entries; the most is {most}")
    found = tuple(_central(file, count, size, start))
    place = 0
    for entry in sorted(found, key=lambda entry: entry.start):
        if entry.start != place:
            raise BadWheel("zip-joined", "bytes that belong to no entry stand before it", entry.name)
        place = _check_local(file, entry)
    if place != start:
        raise BadWheel("zip-joined", f"{start - place} bytes that belong to no entry")
    return found


def content(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """The unpacked bytes of an entry, never more than its header says. Raises BadWheel."""
    file.seek(entry.start + 26)
    name_length, extra_length = struct.unpack("<2H", file.read(4))
    file.seek(entry.start + 30 + name_length + extra_length)
    crc = total = 0
    for block in _stored(file, entry) if entry.method == STORED else _inflated(file, entry):
        total += len(block)
        crc = zlib.crc32(block, crc)
        if total > entry.size:
            break
        yield block
    if total != entry.size or crc != entry.crc:
        raise BadWheel("zip-corrupt", "size or checksum is not what its header says", entry.name)


def _end_record(file: BinaryIO, length: int) -> tuple[int, int, int]:
    file.seek(0)
    if file.read(2) != b"PK":
        raise BadWheel("not-a-zip", "it does not begin like a ZIP file")
    file.seek(max(0, length - _END.size))
    tail = file.read()
    if len(tail) < _END.size or not tail.startswith(b"PK\x05\x06"):
        raise _lost_end(file, length)
    _, disk, first_disk, here, count, size, start, comment = _END.unpack(tail)
    if comment:
        raise BadWheel("zip-trailing", "it ends inside its own comment")
    if 0xFFFF in (here, count) or 0xFFFFFFFF in (size, start):
        raise BadWheel("zip64", "it uses ZIP64 records")
    if disk or first_disk or here != count:
        raise BadWheel("zip-directory", "it says to be one part of several")
    if start + size + _END.size != length:
        raise BadWheel("zip-joined", "its table of contents is not where it says: two archives in one file")
    return count, size, start


def _lost_end(file: BinaryIO, length: int) -> BadWheel:
    """Why the end record is not at the end: cut off, a comment, or bytes after it."""
    file.seek(max(0, length - _END.size - 0xFFFF))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        return BadWheel("zip-truncated", "it has no end: the file was cut off")
    comment = _END.unpack(tail[at : at + _END.size])[-1]
    extra = len(tail) - at - _END.size
    if comment == extra:
        return BadWheel("zip-comment", f"it carries a comment of {comment} bytes")
    return BadWheel("zip-trailing", f"{extra} bytes follow its end")


def _central(file: BinaryIO, count: int, size: int, start: int) -> Iterator[Entry]:
    file.seek(start)
    table = file.read(size)
    at, seen = 0, set()
    for _ in range(count):
        if len(table) - at < _CENTRAL.size or table[at : at + 4] != b"PK\x01\x02":
            raise BadWheel("zip-directory", "its table of contents breaks off")
        fields = _CENTRAL.unpack_from(table, at)
        flags, method, crc, packed, unpacked = fields[3], fields[4], *fields[7:10]
        name_length, extra_length, comment_length = fields[10:13]
        attributes, offset = fields[15], fields[16]
        at += _CENTRAL.size
        raw_name, extra = (
            table[at : at + name_length],
            table[at + name_length : at + name_length + extra_length],
        )
        at += name_length + extra_length + comment_length
        entry = Entry(_name(raw_name, flags), raw_name, method, crc, packed, unpacked, offset, flags)
        _check_flags(entry, extra, attributes, comment_length)
        if raw_name in seen:
            raise BadWheel("zip-duplicate", "stands in the archive twice", entry.name)
        seen.add(raw_name)
        yield entry
    if at != size:
        raise BadWheel("zip-directory", "its table of contents holds more than it counts")


def _name(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError as cause:
        raise BadWheel("path-not-utf8", f"an entry's name is not UTF-8: {raw[:60]!r}") from cause


def _check_flags(entry: Entry, extra: bytes, attributes: int, comment: int) -> None:
    if comment:
        raise BadWheel("zip-comment", "carries a comment", entry.name)
    if entry.flags & _ENCRYPTED:
        raise BadWheel("zip-encrypted", "is encrypted", entry.name)
    if entry.flags & _DATA_DESCRIPTOR:
        raise BadWheel("zip-data-descriptor", "has its sizes behind its content", entry.name)
    if entry.method not in (STORED, DEFLATED):
        raise BadWheel("zip-compression", f"is compressed by method {entry.method}", entry.name)
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > entry.is_folder:
        raise BadWheel("special-file", "is a link or a special file", entry.name)
    _check_extra(entry, extra)


def _check_extra(entry: Entry, extra: bytes) -> None:
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64_EXTRA:
            raise BadWheel("zip64", "has a ZIP64 record", entry.name)
        if kind == _UNICODE_PATH_EXTRA:
            raise BadWheel("zip-extra-name", "has a second name", entry.name)
        at += 4 + size
    if at != len(extra):
        raise BadWheel("zip-directory", "has a broken extra field", entry.name)


def _check_local(file: BinaryIO, entry: Entry) -> int:
    """Compare the entry's own header with the table; gives the place right behind its content."""
    file.seek(entry.start)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        raise BadWheel("zip-directory", "is not where the table of contents says", entry.name)
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(head)
    rest = file.read(name_length + extra_length)
    same = (flags, method, crc, packed, size, rest[:name_length]) == (
        entry.flags,
        entry.method,
        entry.crc,
        entry.packed,
        entry.size,
        entry.raw_name,
    )
    if not same:
        raise BadWheel("zip-header-mismatch", "its header differs from the table of contents", entry.name)
    _check_extra(entry, rest[name_length:])
    after: int = entry.start + _LOCAL.size + name_length + extra_length + entry.packed
    return after


def _stored(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    left = entry.packed
    while left and (block := file.read(min(left, _CHUNK))):
        left -= len(block)
        yield block


def _inflated(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for packed in _stored(file, entry):
            feed = packed
            while feed:
                yield unpack.decompress(feed, _CHUNK)
                feed = unpack.unconsumed_tail
        yield unpack.flush()
    except zlib.error as cause:
        raise BadWheel("zip-corrupt", f"cannot be unpacked ({cause})", entry.name) from cause
    if not unpack.eof or unpack.unused_data:
        raise BadWheel("zip-corrupt", "its compressed data does not end where it should", entry.name)
