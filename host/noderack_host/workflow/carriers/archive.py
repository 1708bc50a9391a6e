"""zip and gzip: the files in them that could hold a workflow, read one by one and never to disk."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from noderack_host.workflow.carriers.entry import MAX_ENTRY, MAX_RATIO, Data, Entry, inflate
from noderack_host.workflow.errors import WorkflowError

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

_MAX_MEMBERS = 2000
_LIKELY = (
    ".json",
    ".png",
    ".webp",
    ".jpg",
    ".jpeg",
    ".mp4",
    ".webm",
    ".mov",
    ".flac",
    ".mp3",
    ".txt",
    ".avif",
)


def zipped(data: Data) -> Iterator[Entry]:
    """Members by name order with JSON first. A member that unpacks to far more than it holds is refused."""
    import zipfile

    try:
        archive = zipfile.ZipFile(io.BytesIO(data[:]))
        members = [m for m in archive.infolist() if not m.is_dir() and m.filename.lower().endswith(_LIKELY)]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as cause:
        raise WorkflowError(f"zip archive is broken ({cause})") from cause
    members.sort(key=lambda m: (not m.filename.lower().endswith(".json"), m.filename))
    for member in members[:_MAX_MEMBERS]:
        yield Entry("", _member(archive, member), member.filename)


def _member(archive: ZipFile, member: ZipInfo) -> bytes:
    from lzma import LZMAError
    from zipfile import BadZipFile

    limit = min(MAX_ENTRY, max(member.compress_size * MAX_RATIO, 64 * 1024))
    try:
        with archive.open(member) as stream:
            out = stream.read(limit + 1)
    except (BadZipFile, LZMAError, zlib.error, ValueError, OSError, RuntimeError, EOFError) as cause:
        raise WorkflowError(f"cannot be unpacked ({cause})", member.filename) from cause
    if len(out) > limit:
        raise WorkflowError(f"unpacks to more than {limit} bytes; refused", member.filename)
    return out


def gzipped(data: Data) -> Iterator[Entry]:
    yield Entry("", inflate(data, "gzip stream", wbits=31), "gzip stream")
