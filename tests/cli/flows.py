"""Workflows and catalogues for tests of what is missing and what would bring it."""

import json
from pathlib import Path
from typing import Any

from noderack_registry.server import Settings, catalogue, open_registry, seeding


def workflow(
    folder: Path, types: list[str], models: dict[str, str] | None = None, name: str = "flow.json"
) -> str:
    """An API-form workflow of nodes of `types`; the keys of `models` are checkpoints."""
    nodes: dict[str, Any] = {
        str(n): {"class_type": t, "inputs": {"value": n}} for n, t in enumerate(types, 1)
    }
    for n, model in enumerate(models or {}, 100):
        nodes[str(n)] = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": model}}
    file = folder / name
    file.write_text(json.dumps(nodes))
    return str(file)


def seed(shop: Any, name: str, type_: str) -> None:
    """Import a catalogue of one pack that has this node type, which nobody uses."""
    folder = shop.folder / "catalogue"
    folder.mkdir()
    url = f"https://github.com/ann/{name}"
    pack = {"title": name, "id": name, "reference": url, "files": [url]}
    (folder / "custom-node-list.json").write_text(json.dumps({"custom_nodes": [pack]}))
    (folder / "extension-node-map.json").write_text(json.dumps({url: [[type_], {}]}))
    registry = open_registry(Settings(data=shop.folder / "data"))
    registry.database.writing(seeding.store, catalogue.read(folder), registry.settings.now())
    registry.database.close()
