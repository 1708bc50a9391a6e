"""Files that packs bring beside their code: example workflows, translations, sub-graphs to insert.

Each is found by the folder that the pack's module lies in, under the names that the field has for them.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from noderack_host.packs import LoadedPack

EXAMPLES = ("example_workflows", "example", "examples", "workflow", "workflows")
PARTS = ("nodeDefs", "commands", "settings")
"""Files of a translation that stand under their own names; `main` is spread beside them."""


def roots(packs: Iterable[LoadedPack]) -> Iterator[tuple[str, Path]]:
    """(pack, folder of its module) of each pack that has one."""
    for pack in packs:
        file = getattr(sys.modules.get(pack.module), "__file__", None)
        if file:
            yield pack.name, Path(file).parent


def example_folders(packs: Iterable[LoadedPack]) -> list[tuple[str, Path]]:
    """(pack, folder) of every pack that brings example workflows."""
    return [(name, root / sub) for name, root in roots(packs) for sub in EXAMPLES if (root / sub).is_dir()]


def translations(packs: Iterable[LoadedPack]) -> dict[str, Any]:
    """{language: {…, nodeDefs, commands, settings}} of all packs together; a later pack's word counts."""
    told: dict[str, Any] = {}
    for _, root in roots(packs):
        for folder in sorted((root / "locales").glob("*/")):
            language = told.setdefault(folder.name, {})
            _merge(language, _object(folder / "main.json"))
            for part in PARTS:
                if found := _object(folder / f"{part}.json"):
                    _merge(language.setdefault(part, {}), found)
    return told


def subgraphs(packs: Iterable[LoadedPack]) -> dict[str, tuple[dict[str, Any], Path]]:
    """{id: (what is told of it, its file)} of every sub-graph that a pack offers for insertion."""
    return {
        sha256(f"{pack}/{file.name}".encode()).hexdigest(): (
            {"source": "custom_node", "name": file.stem, "info": {"node_pack": f"custom_nodes.{pack}"}},
            file,
        )
        for pack, root in roots(packs)
        for file in sorted((root / "subgraphs").glob("*.json"))
    }


def _object(file: Path) -> Mapping[str, Any]:
    """What a JSON file holds; nothing if it is not there, cannot be read, or holds no object."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
