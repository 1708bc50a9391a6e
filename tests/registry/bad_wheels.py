"""Wheels that are wrong in one way each: name of the case, code of the refusal, bytes."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from wheels import WHEEL, members, metadata, wheel_bytes, with_record, zipped

NAME = "grain-1.0-py3-none-any.whl"
INFO = "grain-1.0.dist-info"
GOOD = with_record(members())


@dataclass(frozen=True)
class Raw:
    """One entry of an archive written byte by byte; what is None is written as it should be."""

    name: bytes
    data: bytes
    method: int = 0
    flags: int = 0
    attributes: int = 0o100644 << 16
    extra: bytes = b""
    comment: bytes = b""
    crc: int | None = None
    size: int | None = None
    packed: bytes | None = None
    local: dict[str, object] = field(default_factory=dict)


def raw_zip(
    entries: list[Raw],
    prefix: bytes = b"",
    gap: bytes = b"",
    suffix: bytes = b"",
    comment: bytes = b"",
    **end: int,
) -> bytes:
    """An archive with every byte under our control."""
    out, central = io.BytesIO(), io.BytesIO()
    out.write(prefix)
    for entry in entries:
        start = out.tell()
        out.write(_local(replace(entry, local={}, **entry.local)))
        out.write(gap)
        central.write(_central(entry, start))
    table = central.getvalue()
    place, count = end.get("place", out.tell()), end.get("count", len(entries))
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(table), place, len(comment))
    return out.getvalue() + table + tail + comment + suffix


def _parts(entry: Raw) -> tuple[bytes, int, int]:
    body = entry.packed
    if body is None:
        pack = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = pack.compress(entry.data) + pack.flush() if entry.method == 8 else entry.data
    crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
    return body, crc, len(entry.data) if entry.size is None else entry.size


def _local(entry: Raw) -> bytes:
    body, crc, size = _parts(entry)
    head = (20, entry.flags, entry.method, 0, 33, crc, len(body), size, len(entry.name), len(entry.extra))
    return struct.pack("<4s5H3L2H", b"PK\3\4", *head) + entry.name + entry.extra + body


def _central(entry: Raw, start: int) -> bytes:
    body, crc, size = _parts(entry)
    head = (0x0314, 20, entry.flags, entry.method, 0, 33, crc, len(body), size, len(entry.name))
    rest = (len(entry.extra), len(entry.comment), 0, 0, entry.attributes, start)
    return struct.pack("<4s6H3L5H2L", b"PK\1\2", *head, *rest) + entry.name + entry.extra + entry.comment


def raw(found: dict[str, bytes] | None = None, **last: object) -> list[Raw]:
    """A good wheel as raw entries; keywords change the last one."""
    entries = [Raw(name.encode(), data) for name, data in (found or GOOD).items()]
    return [*entries[:-1], replace(entries[-1], **last)]


def plus(*more: Raw) -> bytes:
    return raw_zip([*raw(), *more])


def extra_file(name: str, data: bytes = b"x") -> bytes:
    """A wheel with one more file, truly listed."""
    return zipped(with_record({**members(), name: data}))


def changed(place: str, data: bytes | None) -> bytes:
    """A wheel with one file replaced or (None) taken out, truly listed."""
    found = {**members(), place: data}
    return zipped(with_record({name: value for name, value in found.items() if value is not None}))


def record(change: Callable[[list[str]], list[str]]) -> bytes:
    lines = GOOD[f"{INFO}/RECORD"].decode().splitlines()
    return zipped({**GOOD, f"{INFO}/RECORD": "\n".join(change(lines)).encode()})


def meta(extra: str = "", name: str = "grain", version: str = "1.0", readme: str = "") -> bytes:
    return changed(f"{INFO}/METADATA", metadata(name, version, extra, readme).encode())


def facts(**told: object) -> bytes:
    return changed(f"{INFO}/noderack.json", json.dumps(told).encode())


def points(text: str) -> bytes:
    return changed(f"{INFO}/entry_points.txt", text.encode())


def cut(share: float) -> bytes:
    data = wheel_bytes()
    return data[: int(len(data) * share)]


def shared(*places: str) -> bytes:
    """A wheel laid into the shared package instead of one of its own."""
    found = {name: data for name, data in members().items() if name.startswith(INFO)}
    return zipped(with_record({**found, **dict.fromkeys(places, b"")}))


def bomb() -> bytes:
    return extra_file("grain/zeros.bin", bytes(40 << 20))


def cases() -> Iterator[tuple[str, str, Callable[[], bytes]]]:  # noqa: PLR0915  a table, a line a case
    """Every case: its name, the code it must be refused with, and what makes it."""
    yield "empty", "not-a-zip", lambda: b""
    yield "text", "not-a-zip", lambda: b"hello, this is no archive at all"
    yield "gzip", "not-a-zip", lambda: b"\x1f\x8b\x08" + bytes(100)
    yield "cut in half", "zip-truncated", lambda: cut(0.5)
    yield "cut at the end", "zip-truncated", lambda: wheel_bytes()[:-1]
    yield "bytes after the end", "zip-trailing", lambda: raw_zip(raw(), suffix=b"tail")
    yield "archive comment", "zip-comment", lambda: raw_zip(raw(), comment=b"hello")
    yield "bytes before the start", "zip-joined", lambda: raw_zip(raw(), prefix=b"PK junk")
    yield "bytes between entries", "zip-joined", lambda: raw_zip(raw(), gap=b"gap")
    yield "two archives joined", "zip-joined", lambda: wheel_bytes() + wheel_bytes(version="1.1")
    yield "table not where it says", "zip-joined", lambda: raw_zip(raw(), place=7)
    yield "fewer entries than counted", "zip-directory", lambda: raw_zip(raw(), count=99)
    yield "more entries than counted", "zip-directory", lambda: raw_zip(raw(), count=2)
    yield "zip64 record", "zip64", lambda: raw_zip(raw(extra=struct.pack("<2HQ", 1, 8, 5)))
    yield "zip64 count", "zip64", lambda: raw_zip(raw(), count=0xFFFF)
    yield "entry twice", "zip-duplicate", lambda: plus(Raw(b"grain/__init__.py", b"other"))
    yield "other name in own header", "zip-header-mismatch", lambda: raw_zip(raw(local={"name": b"x" * 27}))
    yield "other size in own header", "zip-header-mismatch", lambda: raw_zip(raw(local={"size": 1}))
    yield "other method in own header", "zip-header-mismatch", lambda: raw_zip(raw(local={"flags": 2}))
    yield "sizes behind the content", "zip-data-descriptor", lambda: raw_zip(raw(flags=8))
    yield (
        "second name",
        "zip-extra-name",
        lambda: raw_zip(raw(extra=struct.pack("<2HB4s", 0x7075, 5, 1, b"abcd"))),
    )
    yield "broken extra field", "zip-directory", lambda: raw_zip(raw(extra=b"\1\2\3"))
    yield "encrypted", "zip-encrypted", lambda: raw_zip(raw(flags=1))
    yield "bzip2", "zip-compression", lambda: zipped(GOOD, zipfile.ZIP_BZIP2)
    yield "lzma", "zip-compression", lambda: zipped(GOOD, zipfile.ZIP_LZMA)
    yield "wrong checksum", "zip-corrupt", lambda: raw_zip(raw(crc=7))
    yield "not deflate", "zip-corrupt", lambda: raw_zip(raw(method=8, packed=b"\xff\xff\xff"))
    yield "longer than it says", "zip-corrupt", lambda: raw_zip(raw(method=8, size=3))
    yield "entry comment", "zip-comment", lambda: raw_zip(raw(comment=b"hi"))
    yield "bomb", "bomb", bomb
    yield "huge sizes claimed", "bomb", lambda: plus(Raw(b"grain/big", b"x", method=8, size=2 << 30))
    yield "absolute path", "path-absolute", lambda: extra_file("/etc/passwd")
    yield "parent path", "path-escape", lambda: extra_file("grain/../../evil.py")
    yield "dot path", "path-escape", lambda: extra_file("grain/./x.py")
    yield "empty part", "path-escape", lambda: extra_file("grain//x.py")
    yield "backslash", "path-characters", lambda: plus(Raw(b"grain\\evil.py", b"x"))
    yield "drive letter", "path-characters", lambda: extra_file("C:/evil.py")
    yield "control character", "path-characters", lambda: plus(Raw(b"grain/a\nb.py", b"x"))
    yield "nul", "path-characters", lambda: plus(Raw(b"grain/a\0b.py", b"x"))
    yield "right-to-left mark", "path-characters", lambda: extra_file("grain/\u202eyp.exe")
    yield "latin-1 name", "path-not-utf8", lambda: plus(Raw(b"grain/\xe9.py", b"x"))
    yield "broken utf-8 name", "path-not-utf8", lambda: plus(Raw(b"grain/\xff.py", b"x", flags=0x800))
    yield "windows device", "path-reserved", lambda: extra_file("grain/aux.txt")
    yield "trailing dot", "path-reserved", lambda: extra_file("grain/x.")
    yield "long path", "path-too-long", lambda: extra_file("grain/" + "x" * 300)
    yield "two cases", "path-collision", lambda: extra_file("grain/__INIT__.py")
    yield (
        "two normal forms",
        "path-collision",
        lambda: zipped(with_record({**members(), "grain/\u00e9": b"", "grain/e\u0301": b""})),
    )
    yield "file and folder", "path-under-file", lambda: extra_file("grain/__init__.py/x")
    yield (
        "symlink",
        "special-file",
        lambda: plus(Raw(b"grain/link", b"/etc/passwd", attributes=0o120777 << 16)),
    )
    yield "device", "special-file", lambda: plus(Raw(b"grain/dev", b"", attributes=0o020666 << 16))
    yield (
        "folder with content",
        "zip-corrupt",
        lambda: plus(Raw(b"grain/sub/", b"x", attributes=0o040755 << 16)),
    )
    yield "no dist-info", "dist-info-missing", lambda: zipped({"grain/__init__.py": b""})
    yield "two dist-infos", "dist-info-missing", lambda: extra_file("evil-2.0.dist-info/METADATA")
    yield "no RECORD", "record-missing", lambda: zipped(members())
    yield "RECORD is not CSV", "record-malformed", lambda: record(lambda lines: ["what is this"])
    yield "RECORD lists twice", "record-malformed", lambda: record(lambda lines: [lines[0], *lines])
    yield (
        "RECORD with md5",
        "record-malformed",
        lambda: record(lambda lines: ["grain/__init__.py,md5=x,1", *lines[1:]]),
    )
    yield "RECORD not text", "record-malformed", lambda: zipped({**GOOD, f"{INFO}/RECORD": b"\xff\xfe,,"})
    yield (
        "RECORD lists what is absent",
        "record-absent-file",
        lambda: record(lambda lines: ["grain/no.py,sha256=AA,1", *lines]),
    )
    yield "file not in RECORD", "record-unlisted-file", lambda: record(lambda lines: lines[1:])
    yield (
        "wrong hash in RECORD",
        "record-hash",
        lambda: record(lambda lines: [lines[0].replace("sha256=", "sha256=AAAA"), *lines[1:]]),
    )
    yield "wrong size in RECORD", "record-size", lambda: record(lambda lines: [lines[0] + "9", *lines[1:]])
    yield "no WHEEL", "wheel-file-missing", lambda: changed(f"{INFO}/WHEEL", None)
    yield (
        "WHEEL of the future",
        "wheel-file",
        lambda: changed(f"{INFO}/WHEEL", WHEEL.replace("1.0", "9.0").encode()),
    )
    yield (
        "WHEEL with other tags",
        "wheel-file",
        lambda: changed(f"{INFO}/WHEEL", WHEEL.replace("py3", "py2").encode()),
    )
    yield "no METADATA", "metadata-missing", lambda: changed(f"{INFO}/METADATA", None)
    yield "huge METADATA", "metadata-too-large", lambda: meta(readme="x" * (2 << 20))
    yield "long README", "metadata-too-large", lambda: meta(readme="x" * (300 << 10))
    yield "METADATA of another pack", "metadata-name", lambda: meta(name="other")
    yield "METADATA of another version", "metadata-version", lambda: meta(version="2.0")
    yield "METADATA not text", "metadata-invalid", lambda: changed(f"{INFO}/METADATA", b"\xff\xfe\0\0")
    yield "bad requirement", "metadata-invalid", lambda: meta("Requires-Dist: not a requirement !!\n")
    yield "bad python version", "metadata-invalid", lambda: meta("Requires-Python: three\n")
    yield "long summary", "metadata-invalid", lambda: meta(f"Summary: {'x' * 600}\n")
    yield "bad project URL", "metadata-invalid", lambda: meta("Project-URL: Home, javascript:alert(1)\n")
    yield "control characters", "metadata-invalid", lambda: meta("Summary: \x1b[31mred\n")
    yield "direct URL", "direct-url", lambda: meta("Requires-Dist: evil @ https://evil.example/evil.whl\n")
    yield "VCS requirement", "direct-url", lambda: meta("Requires-Dist: evil @ git+https://evil.example/x\n")
    yield "pth file", "startup-hook", lambda: extra_file("grain/evil.pth")
    yield "sitecustomize", "startup-hook", lambda: extra_file("sitecustomize.py")
    yield "second package", "top-level", lambda: extra_file("other/__init__.py")
    yield (
        "two packs in the shared package",
        "top-level",
        lambda: shared("custom_nodes/a/x.py", "custom_nodes/b/x.py"),
    )
    yield "the shared package itself", "foreign-module", lambda: shared("custom_nodes/__init__.py")
    yield "data folder", "data-directory", lambda: extra_file("grain-1.0.data/scripts/evil")
    yield "console script", "entry-points", lambda: points("[console_scripts]\npython = grain:main\n")
    yield "entry point is a path", "entry-points", lambda: points("[noderack.packs]\ngrain = ../../evil\n")
    yield "entry points twice", "entry-points", lambda: points("[noderack.packs]\na = grain\na = grain\n")
    yield "entry points not text", "entry-points", lambda: changed(f"{INFO}/entry_points.txt", b"\xff[x]")
    yield "no nodes", "not-a-pack", lambda: changed(f"{INFO}/entry_points.txt", None)
    yield "noderack.json not JSON", "noderack-json", lambda: changed(f"{INFO}/noderack.json", b"{")
    yield "noderack.json of the future", "noderack-json", lambda: facts(schema=9)
    yield "node types a list", "noderack-json", lambda: facts(schema=1, node_types=["A"])
    yield "node type named oddly", "noderack-json", lambda: facts(schema=1, node_types={"a\nb": {}})
    yield "model without a folder", "noderack-json", lambda: facts(schema=1, models=[{"name": "a"}])
    yield (
        "noderack.json deep",
        "noderack-json",
        lambda: changed(f"{INFO}/noderack.json", b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    )
    yield (
        "NaN in noderack.json",
        "noderack-json",
        lambda: changed(f"{INFO}/noderack.json", b'{"node_types":{"A":{"x":NaN}}}'),
    )


CASES = {name: (code, make) for name, code, make in cases()}

# file name → code, for a wheel that is good under its own name
NAMES = {
    "grain-1.0.zip": "file-name",
    "grain.whl": "file-name",
    "grain-1.0-py3-none-any.whl.exe": "file-name",
    "grain-one-py3-none-any.whl": "file-name",
    "_grain-1.0-py3-none-any.whl": "file-name",
    "grain-1.0-py3-none.whl": "file-name",
    "other-1.0-py3-none-any.whl": "dist-info-missing",
    "grain-2.0-py3-none-any.whl": "dist-info-missing",
    "grain-1.0-py2-none-any.whl": "wheel-file",
}
