"""RECORD: the wheel's own list of files with their hashes. Both ways: nothing missing, nothing unlisted."""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from noderack_registry.gate.verdict import BadWheel


@dataclass(frozen=True, slots=True)
class Digest:
    """What an unpacked entry is: sha256 (raw bytes) and size in bytes."""

    sha256: bytes
    size: int

    @classmethod
    def of(cls, data: bytes) -> Digest:
        return cls(hashlib.sha256(data).digest(), len(data))


def check_record(record: bytes, place: str, found: Mapping[str, Digest]) -> None:
    """Compare RECORD (the entry `place`) with the files `found` in the archive. Raises BadWheel."""
    listed = _rows(record, place)
    for name, (digest, size) in listed.items():
        if name not in found:
            raise BadWheel("record-absent-file", "is in RECORD but not in the archive", name)
        if name == place:
            continue
        if digest != found[name].sha256:
            raise BadWheel("record-hash", "does not have the hash that RECORD gives", name)
        if size != found[name].size:
            raise BadWheel("record-size", f"has {found[name].size} bytes, RECORD says {size}", name)
    unlisted = sorted(found.keys() - listed.keys() - {place})
    if unlisted:
        raise BadWheel("record-unlisted-file", "is in the archive but not in RECORD", unlisted[0])


def _rows(record: bytes, place: str) -> dict[str, tuple[bytes, int]]:
    rows: dict[str, tuple[bytes, int]] = {}
    try:
        for row in csv.reader(record.decode("utf-8").splitlines()):
            name, digest, size = row
            if name in rows:
                raise BadWheel("record-malformed", "is listed twice", name)
            rows[name] = (b"", 0) if name == place else (_sha256(digest), int(size))
    except (ValueError, csv.Error) as cause:
        raise BadWheel("record-malformed", f"cannot be read ({cause})", place) from cause
    return rows


def _sha256(text: str) -> bytes:
    kind, _, value = text.partition("=")
    if kind != "sha256":
        raise ValueError(f"{text[:80]!r} is not a sha256")
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
