"""Wheels as bytes: the same entries always give the same file."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from noderack_registry.packing.errors import BackendError

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold; no clock takes part
LEVEL = 6


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a wheel."""

    data: bytes
    executable: bool = False


def dist_info(name: str, version: str) -> str:
    """The name of the metadata folder."""
    return f"{wheel_name(name)}-{version}.dist-info"


def wheel_name(name: str) -> str:
    """A normalised distribution name as file names hold it."""
    return name.replace("-", "_")


def write_wheel(path: Path, entries: Mapping[str, Entry], info: str) -> None:
    """Writes `entries` and their RECORD; the file appears under its name only when it is whole."""
    complete = {**entries, f"{info}/RECORD": Entry(record(entries, info))}
    # Metadata last, as the wheel specification asks; both halves by name.
    order = sorted(complete, key=lambda name: (name.startswith(f"{info}/"), name))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
            for name in order:
                archive.writestr(_info(name, complete[name]), complete[name].data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _info(name: str, entry: Entry) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, wherever it was made
    info.external_attr = (0o100755 if entry.executable else 0o100644) << 16
    return info


def record(entries: Mapping[str, Entry], info: str) -> bytes:
    """The RECORD file: path, sha256, size of each file; itself without."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for name in sorted(entries):
        digest = base64.urlsafe_b64encode(hashlib.sha256(entries[name].data).digest()).rstrip(b"=").decode()
        writer.writerow((name, f"sha256={digest}", len(entries[name].data)))
    writer.writerow((f"{info}/RECORD", "", ""))
    return out.getvalue().encode()


def read_wheel(path: Path) -> tuple[dict[str, Entry], str]:
    """The files of a wheel without its RECORD, and its metadata folder; raises BackendError."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            entries = {i.filename: Entry(archive.read(i), bool(i.external_attr >> 16 & 0o111)) for i in files}
    except (zipfile.BadZipFile, OSError) as cause:
        raise BackendError(f"{path.name} is not a readable wheel: {cause}", "build it again") from cause
    folders = {name.split("/")[0] for name in entries if name.split("/")[0].endswith(".dist-info")}
    if len(folders) != 1:
        raise BackendError(f"{path.name} has {len(folders)} metadata folders, not one", "build it again")
    info = folders.pop()
    return {name: entry for name, entry in entries.items() if name != f"{info}/RECORD"}, info
