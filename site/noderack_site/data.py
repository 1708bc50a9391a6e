"""What the site is made from: one plain value, read from a registry's export or from a published catalogue.

Records stay as the registry sends them (`noderack_registry.schema`, in JSON), for two reasons: a page's JSON
twin is then the record itself, and 46,000 records are hashed and compared in a second instead of being built.

Export file (`.json`, or `.json.gz`), schema 1:

    {"schema": 1, "name": "…", "url": "https://…", "exported": "2026-11-20T12:00:00Z",
     "packs":     [Pack + {"releases": [PackVersion…], "history": [["2026-11-01", 12]…], "readme": "…"}],
     "claims":    {node type: [TypeClaim…]},
     "schemas":   {node type: /object_info entry},
     "models":    [ModelManifest…],
     "workflows": [{"name", "title", "description", "pack", "graph": UI-format workflow}],
     "publishers": {name: {"title", "description", "website"}},
     "changes":   [Change…]}
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from noderack_site.names import slug

Raw: TypeAlias = Mapping[str, Any]

SCHEMA = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
BUILT_IN = "noderack-core"
"""The pack name under which the nodes that every host has are shown."""


class SiteError(Exception):
    """The site cannot be written: what, where, what to do."""


class SiteDataError(SiteError):
    """The data cannot be read."""


@dataclass(frozen=True, slots=True)
class SiteData:
    """Everything the pages say: packs by name, types by node type, models and workflows by page name.

    `assets` says where the bytes of packs' pictures lie, by their sha256.
    """

    name: str = "Noderack"
    url: str = ""
    exported: str = ""
    packs: Mapping[str, Raw] = field(default_factory=dict)
    claims: Mapping[str, Sequence[Raw]] = field(default_factory=dict)
    schemas: Mapping[str, Raw] = field(default_factory=dict)
    models: Mapping[str, Raw] = field(default_factory=dict)
    workflows: Mapping[str, Raw] = field(default_factory=dict)
    publishers: Mapping[str, Raw] = field(default_factory=dict)
    changes: Sequence[Raw] = ()
    assets: Mapping[str, Path] = field(default_factory=dict)


def from_export(export: Any, where: str = "export", assets: Mapping[str, Path] | None = None) -> SiteData:
    """The value in a registry's export; raises SiteDataError that says which part does not fit."""
    if not isinstance(export, dict) or export.get("schema") != SCHEMA:
        raise SiteDataError(
            f"{where} is not a site export of schema {SCHEMA}; make one with the registry's export"
        )
    packs = {_page_name(pack, f"{where}: packs"): pack for pack in _part(export, "packs", list, where)}
    claims, schemas = _part(export, "claims", dict, where), _part(export, "schemas", dict, where)
    claims = {**claims, **_unclaimed(packs, claims)}
    models = unique_names(_part(export, "models", list, where))
    workflows = {_page_name(w, f"{where}: workflows"): w for w in _part(export, "workflows", list, where)}
    return SiteData(
        name=str(export.get("name") or "Noderack"),
        url=str(export.get("url") or "").rstrip("/"),
        exported=str(export.get("exported") or ""),
        packs=packs,
        claims=claims,
        schemas={**_declared(packs), **schemas},
        models=models,
        workflows=workflows,
        publishers={slug(name): row for name, row in _part(export, "publishers", dict, where).items()},
        assets=assets or {},
        changes=_part(export, "changes", list, where),
    )


def read(path: Path) -> SiteData:
    """Read an export file, a folder of `nodes registry export`, or one that holds a published catalogue."""
    if (path / "export.json").is_file():
        from noderack_site.exported import read_folder

        return read_folder(path)
    if path.is_dir():
        from noderack_site.catalogue import read_catalogue

        return read_catalogue(path)
    try:
        content = path.read_bytes()
        return from_export(
            json.loads(gzip.decompress(content) if path.suffix == ".gz" else content), str(path)
        )
    except OSError as cause:
        raise SiteDataError(f"cannot read {path}: {cause.strerror or cause}") from cause
    except (ValueError, zlib.error) as cause:
        raise SiteDataError(f"{path} is not a site export: {cause}") from cause


def write_export(export: Raw, path: Path) -> None:
    """Keep an export as a file, packed if its name ends in .gz; equal data gives equal bytes."""
    content = json.dumps(export, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def with_built_in(data: SiteData, entries: Mapping[str, Raw], name: str = BUILT_IN) -> SiteData:
    """The same with a pack of the nodes that every host has, from /object_info entries."""
    from dataclasses import replace

    pack = {
        "name": name,
        "title": "Built-in nodes",
        "description": "The nodes that every host has: loaders, samplers, latents, images, masks, text.",
        "node_types": sorted(entries),
        "author": "Noderack",
        "publisher": "noderack",
        "status": "active",
        "built_in": True,
    }
    reason = "built in: every host has it"
    claim = {"pack": name, "version": None, "origin": "verified", "rank": 0, "reason": reason}
    claims = {t: [{"type": t, **claim}, *data.claims.get(t, ())] for t in entries}
    return replace(
        data,
        packs={name: pack, **data.packs},
        claims={**data.claims, **claims},
        schemas={**data.schemas, **entries},
    )


def unique_names(models: Sequence[Raw]) -> dict[str, Raw]:
    """Page names for models: the file's name, with its folder where two files share a name."""
    named: dict[str, Raw] = {}
    for model in models:
        name = slug(str(model.get("name", "")))
        if name in named:
            name = slug(f"{model.get('folder', '')} {model.get('base') or ''} {model.get('name', '')}")
        while name in named:
            name += "-2"
        named[name] = model
    return named


def _part(export: dict[str, Any], key: str, kind: type, where: str) -> Any:
    value = export.get(key, kind())
    if not isinstance(value, kind):
        raise SiteDataError(f"{where}: {key} is a {type(value).__name__}; expected a {kind.__name__}")
    return value


def _page_name(record: Any, where: str) -> str:
    """The record's name, which becomes a file's name: nothing that could lead out of the site's folder."""
    name = record.get("name") if isinstance(record, dict) else None
    if not isinstance(name, str) or not name:
        raise SiteDataError(f"{where}: a record has no name")
    if not _NAME.fullmatch(name):
        raise SiteDataError(
            f"{where}: {name[:80]!r} cannot name a page; expected letters, digits, '.', '_' and '-'"
        )
    return name


def _declared(packs: Mapping[str, Raw]) -> dict[str, Raw]:
    """Schemas that the newest releases carry."""
    found: dict[str, Raw] = {}
    for pack in packs.values():
        for release in pack.get("releases", ())[:1]:
            found.update((name, entry) for name, entry in release.get("node_types", {}).items() if entry)
    return found


def _unclaimed(packs: Mapping[str, Raw], claims: Mapping[str, Any]) -> dict[str, list[Raw]]:
    """Claims for types that packs list and the export's claims leave out."""
    missing: dict[str, list[Raw]] = {}
    for name, pack in packs.items():
        for node_type in pack.get("node_types", ()):
            if node_type not in claims:
                rows = missing.setdefault(node_type, [])
                reason = "the pack's newest version lists it"
                claim = {"type": node_type, "pack": name, "version": pack.get("latest"), "origin": "declared"}
                rows.append({**claim, "rank": len(rows) + 1, "reason": reason})
    return missing
