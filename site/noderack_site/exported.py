"""The folder that `nodes registry export` writes, as site data: its files of JSON lines, and its pictures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from noderack_site.data import SCHEMA, Raw, SiteData, SiteDataError, from_export
from noderack_site.names import slug


def read_folder(folder: Path) -> SiteData:
    """Read the folder; raises SiteDataError when a file of it is missing, or is no JSON lines."""
    packs = {str(pack["name"]): dict(pack) for pack in _lines(folder, "packs")}
    releases: dict[str, list[Raw]] = defaultdict(list)
    for version in _lines(folder, "versions"):
        releases[str(version["pack"])].append(version)
    for name, rows in releases.items():
        if name in packs:
            packs[name]["releases"] = rows
    exported = {
        "schema": SCHEMA,
        "exported": max((str(pack.get("updated") or "") for pack in packs.values()), default=""),
        "packs": list(packs.values()),
        "claims": {str(row["type"]): row["claims"] for row in _lines(folder, "node-types")},
        "models": list(_lines(folder, "models")),
        "workflows": list(_workflows(folder)),
    }
    assets = {path.parent.name: path for path in sorted(folder.glob("assets/*/*"))}
    return from_export(exported, str(folder), assets)


def _workflows(folder: Path) -> Iterator[Raw]:
    for row in _lines(folder, "workflows"):
        graph = row["graph"]
        if isinstance(graph, dict) and isinstance(graph.get("nodes"), list):
            yield example(str(row["pack"]), str(row["place"]), graph)


def example(pack: str, place: str, graph: Raw) -> Raw:
    """The record of a workflow that lies at `place` in a pack's wheel."""
    title = PurePosixPath(place).stem.replace("_", " ")
    return {"name": slug(f"{pack} {title}"), "title": title, "pack": pack, "place": place, "graph": graph}


def _lines(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    path = folder / f"{name}.jsonl"
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise SiteDataError(f"{path}:{number} is no object")
                yield row
    except OSError as cause:
        raise SiteDataError(
            f"{folder} is no whole export: cannot read {path.name}: {cause.strerror}"
        ) from cause
    except ValueError as cause:
        raise SiteDataError(f"{path} is not JSON lines: {cause}") from cause
