"""Known vulnerabilities from OSV data on the disk: a JSON file, a folder or a zip of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from noderack_cli.errors import BadInput

ECOSYSTEM = "PyPI"
LARGEST = 16 << 20


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """One advisory about one installed distribution; `fixed` are the versions that do not have it."""

    id: str
    name: str
    version: str
    summary: str
    aliases: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


def vulnerabilities(source: Path, have: Mapping[str, str]) -> list[Vulnerability]:
    """The advisories in `source` that concern the distributions `have` (name to version); raises BadInput."""
    found: dict[tuple[str, str], Vulnerability] = {}
    files = rows = records = 0
    for where, text in _texts(source):
        files += 1
        for row in _rows(where, text):
            rows += 1
            if isinstance(row, dict) and isinstance(row.get("affected"), list):
                records += 1
                for one in _concerning(row, have):
                    found.setdefault((one.id, one.name), one)
    if not files or (rows and not records):  # an answer with no advisory at all is none the less one
        hint = "OSV data is a JSON file, or a folder or zip archive of them."
        raise BadInput(f"{source} holds no OSV records, so nothing could be compared", hint)
    return sorted(found.values(), key=lambda one: (one.name, one.id))


def _rows(where: str, text: bytes) -> list[Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise BadInput(f"{where} is not JSON: {cause}") from cause
    rows = data.get("vulns", [data]) if isinstance(data, dict) else data
    return rows if isinstance(rows, list) else [rows]


def _texts(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for file in sorted(source.rglob("*.json")):
            yield str(file), file.read_bytes()
    elif source.suffix == ".zip" or zipfile.is_zipfile(source):
        try:
            with zipfile.ZipFile(source) as archive:
                rows = [
                    i for i in archive.infolist() if i.filename.endswith(".json") and i.file_size < LARGEST
                ]
                for info in rows:
                    yield f"{source}:{info.filename}", archive.read(info)
        except zipfile.BadZipFile as cause:
            raise BadInput(f"{source} is not a whole zip archive: {cause}") from cause
    elif source.is_file():
        yield str(source), source.read_bytes()
    else:
        raise BadInput(
            f"{source} is not there", "OSV data is a JSON file, or a folder or zip archive of them."
        )


def _concerning(record: Mapping[str, Any], have: Mapping[str, str]) -> Iterator[Vulnerability]:
    if record.get("withdrawn"):
        return  # it counts as read, and concerns nobody
    for affected in record["affected"]:
        if not isinstance(affected, dict):
            continue
        package = affected.get("package") or {}
        name = canonicalize_name(str(package.get("name", "")))
        if str(package.get("ecosystem", "")).partition(":")[0] != ECOSYSTEM or name not in have:
            continue
        if _hit(affected, have[name]):
            yield Vulnerability(
                str(record.get("id", "?")),
                name,
                have[name],
                _line(record),
                tuple(map(str, record.get("aliases") or ())),
                tuple(sorted(set(_events(affected, "fixed")), key=_order)),
            )


def _line(record: Mapping[str, Any]) -> str:
    text = str(record.get("summary") or record.get("details") or "").strip()
    return " ".join(text.split("\n")[0].split())[:160]


def _events(affected: Mapping[str, Any], kind: str) -> list[str]:
    ranges = [r for r in affected.get("ranges") or () if r.get("type") == "ECOSYSTEM"]
    return [str(e[kind]) for r in ranges for e in r.get("events") or () if kind in e]


def _hit(affected: Mapping[str, Any], version: str) -> bool:
    if version in (affected.get("versions") or ()):
        return True
    here = _order(version)
    ranges = [r for r in affected.get("ranges") or () if r.get("type") == "ECOSYSTEM"]
    return any(_inside(r.get("events") or (), here) for r in ranges)


def _inside(events: Any, here: Version) -> bool:
    """As the OSV schema's evaluation: the events in order of version, each turns it on or off."""
    inside = False
    for kind, text in sorted(((k, str(v)) for e in events for k, v in e.items()), key=lambda x: _order(x[1])):
        if kind == "introduced" and here >= _order(text):
            inside = True
        elif (kind == "fixed" and here >= _order(text)) or (kind == "last_affected" and here > _order(text)):
            inside = False
    return inside


def _order(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")
