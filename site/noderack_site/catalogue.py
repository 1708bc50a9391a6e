"""The public catalogue of packs, node types and models as site data: what was known before anybody published.

A catalogue is a folder with custom-node-list.json, extension-node-map.json, model-list.json and, if there,
github-stats.json and alter-list.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from noderack_site.data import Raw, SiteData, SiteDataError, unique_names
from noderack_site.names import slug

_UNITS = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_SIZE = re.compile(r"([\d.]+)\s*([KMGT]?B)", re.IGNORECASE)
_LINK = re.compile(r"\[(?:a/)?([^\]]*)\]\([^)]*\)")
"""How the catalogue writes a link inside a description; its text is what reads."""
_LISTED = "listed by the public catalogue; not verified here"


def read_catalogue(folder: Path) -> SiteData:
    """Read the folder; raises SiteDataError when one of its files is missing or not JSON."""
    entries = _load(folder, "custom-node-list.json")["custom_nodes"]
    stats = _load(folder, "github-stats.json", optional=True)
    tags = {row["id"]: row for row in _load(folder, "alter-list.json", optional=True).get("items", [])}
    node_map = _load(folder, "extension-node-map.json")
    entries = [*entries, *_only_mapped(entries, node_map)]
    packs = _packs(entries, stats, tags, _types(node_map))
    return SiteData(
        exported=max((pack["updated"] for pack in packs.values()), default=""),
        packs=packs,
        claims=_claims(packs),
        models=unique_names([_model(row) for row in _load(folder, "model-list.json")["models"]]),
    )


def _load(folder: Path, name: str, *, optional: bool = False) -> Any:
    path = folder / name
    if optional and not path.exists():
        return {}
    try:
        return json.loads(path.read_bytes())
    except OSError as cause:
        raise SiteDataError(f"{folder} is not a catalogue: cannot read {name}: {cause.strerror}") from cause
    except ValueError as cause:
        raise SiteDataError(f"{path} is not JSON: {cause}") from cause


def _only_mapped(entries: list[Raw], node_map: Mapping[str, Any]) -> list[Raw]:
    """Entries for addresses that the node map knows and the list of packs does not."""
    known = {address for entry in entries for address in (entry["reference"], *entry["files"])}
    return [
        {
            "reference": address,
            "files": [address],
            "title": row[1].get("title_aux", address),
            "author": _owner(address),
            "description": "",
        }
        for address, row in node_map.items()
        if address not in known
    ]


def _types(node_map: Mapping[str, Any]) -> dict[str, list[str]]:
    return {address: sorted({str(name) for name in row[0] if name}) for address, row in node_map.items()}


def _packs(
    entries: list[Raw], stats: Mapping[str, Raw], tags: Mapping[str, Raw], types: Mapping[str, list[str]]
) -> dict[str, Raw]:
    packs: dict[str, Raw] = {}
    for entry in entries:
        address = str(entry["reference"]).rstrip("/")
        pack_name = _pack_name(entry, address, packs)
        listed = [types[a] for a in (entry["reference"], *entry["files"]) if a in types]
        known = stats.get(entry["reference"], {})
        packs[pack_name] = {
            "name": pack_name,
            "title": entry["title"],
            "description": _LINK.sub(r"\1", entry["description"]),
            "author": entry["author"],
            "publisher": slug(_owner(address) or entry["author"]),
            "repository": address,
            "stars": max(0, int(known.get("stars") or 0)),
            "updated": str(known.get("last_update") or "")[:10],
            "tags": _tags(entry, tags.get(entry["reference"])),
            "node_types": sorted({name for names in listed for name in names}),
            "status": "active",
            "origin": "catalogue",
        }
    return packs


def _pack_name(entry: Raw, address: str, taken: Mapping[str, Raw]) -> str:
    """The catalogue's id, else the repository's name; with its owner where that name is taken."""
    last = slug(address.rsplit("/", 1)[-1].removesuffix(".git").removesuffix(".py"))
    for candidate in (slug(entry["id"]) if entry.get("id") else last, f"{slug(_owner(address))}-{last}"):
        if candidate not in taken:
            return candidate
    return f"{last}-{sum(name.startswith(last) for name in taken)}"


def _owner(address: str) -> str:
    parts = urlsplit(address).path.strip("/").split("/")
    return parts[0] if len(parts) > 1 else ""


def _tags(entry: Raw, other: Raw | None) -> list[str]:
    words = list(entry.get("tags") or [])
    words += str(other.get("tags", "")).split(",") if other else []
    return sorted({tag for word in words if (tag := slug(str(word)))})


def _claims(packs: Mapping[str, Raw]) -> dict[str, list[Raw]]:
    """Claims to each type, packs with more stars first."""
    claims: dict[str, list[Raw]] = {}
    for name, pack in sorted(packs.items(), key=lambda item: (-item[1]["stars"], item[0])):
        for node_type in pack["node_types"]:
            rows = claims.setdefault(node_type, [])
            claim = {"type": node_type, "pack": name, "version": None, "origin": "catalogue"}
            rows.append({**claim, "rank": len(rows) + 1, "reason": _LISTED, "repository": pack["repository"]})
    return claims


def _model(row: Raw) -> Raw:
    folder = row["save_path"] if row["save_path"] != "default" else str(row["type"]).lower() + "s"
    return {
        "name": row["filename"],
        "folder": folder,
        "title": row["name"],
        "description": row["description"],
        "base": row["base"],
        "kind": row["type"],
        "size": _bytes(str(row.get("size", ""))),
        "sources": [{"kind": "url", "url": row["url"]}],
        "page": row["reference"],
        "sha256": None,
        "verified": False,
    }


def _bytes(text: str) -> int | None:
    match = _SIZE.search(text)
    return int(float(match[1]) * _UNITS[match[2].upper()]) if match else None
