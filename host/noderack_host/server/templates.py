"""The published templates, where their packages are installed; else an empty list.

Their workflows and lists are one small package, their pictures several large ones: a picture whose package
is not there is drawn from its workflow. In a list, the templates that this host has every node type for,
and whose models the core draws with, come first, in a category of their own.
"""

import importlib
import importlib.util
import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from noderack_host.workflow import read_workflow
from noderack_host.workflow.errors import WorkflowError
from noderack_host.workflow.graph import BYPASS, NEVER, mapping, sequence
from noderack_host.workflow.picture import picture_of
from noderack_host.workflow.svg import svg
from noderack_host.workflow.virtual import is_virtual

FILES_PACKAGE, CORE_PACKAGE = "comfyui_workflow_templates_json", "comfyui_workflow_templates_core"
FIRST = {
    **{"moduleName": "default", "category": "Foundation", "title": "Runs here", "type": "image"},
    "icon": "icon-[lucide--play]",
}
FAMILIES = frozenset({"None", "Real-ESRGAN", "SD1.5", "SD2.1", "SDXL", "Stability"})
"""What the lists call the models that the core draws with. Others share their nodes, as a UNet's loader."""
_PICTURE = re.compile(r"(.+)-\d+\.(?:webp|png|jpe?g)")


class Templates:
    """Files of the templates by their name, and what is made of them; all of it on the first request."""

    def find(self, name: str) -> Path | None:
        """The file of that name; None if no installed package has it."""
        if name in self._files:
            return self._files[name]
        owner = self._owners.get(name)
        try:
            return Path(importlib.import_module(CORE_PACKAGE).get_asset_path(owner, name)) if owner else None
        except (FileNotFoundError, KeyError):
            return None

    def drawn(self, name: str) -> str | None:
        """The picture of that name as SVG, drawn from its workflow; None where there is no such workflow."""
        found = _PICTURE.fullmatch(name)
        source = self.find(f"{found[1]}.json") if found else None
        return _drawing(source) if source is not None else None

    def listed(self, name: str, known: Collection[str]) -> list[Any]:
        """The list of that name; first what needs no node types but `known` ones, and no model but ours."""
        path = self.find(name)
        categories: list[Any] = json.loads(path.read_bytes()) if path is not None else []
        here = {key for key, types in self._types.items() if types <= frozenset(known)}
        listed = [item for category in categories for item in category["templates"]]
        first = [
            item for item in listed if item["name"] in here and FAMILIES.issuperset(item.get("models", ()))
        ]
        rest = [
            {**category, "templates": [item for item in category["templates"] if item not in first]}
            for category in categories
        ]
        return [{**FIRST, "templates": first}, *rest] if first else rest

    @cached_property
    def _files(self) -> dict[str, Path]:
        if importlib.util.find_spec(FILES_PACKAGE) is None:
            return {}
        folder = Path(str(resources.files(FILES_PACKAGE))) / "templates"
        return {file.name: file for file in folder.glob("*.json")}

    @cached_property
    def _owners(self) -> dict[str, str]:
        if importlib.util.find_spec(CORE_PACKAGE) is None:
            return {}
        entries = importlib.import_module(CORE_PACKAGE).iter_templates()
        return {asset.filename: entry.template_id for entry in entries for asset in entry.assets}

    @cached_property
    def _types(self) -> dict[str, frozenset[str]]:
        """The node types of each template: a third of a second for all of them."""
        files = [file for name, file in self._files.items() if not name.startswith("index")]
        found = {file.stem: _types_of(file) for file in files}
        return {name: types for name, types in found.items() if types}


def _types_of(file: Path) -> frozenset[str]:
    """The types of a workflow's nodes that run, those in sub-graphs included; none if it is no workflow."""
    workflow = mapping(json.loads(file.read_bytes()))
    inner = [mapping(item) for item in sequence(mapping(workflow.get("definitions")).get("subgraphs"))]
    names = {item.get("id") for item in inner}
    types = {kind for graph in (workflow, *inner) for kind in _active(graph)}
    return frozenset(kind for kind in types if kind not in names and not is_virtual(kind))


def _active(graph: Mapping[str, Any]) -> Iterator[str]:
    for node in map(mapping, sequence(graph.get("nodes"))):
        kind = node.get("type")
        if isinstance(kind, str) and node.get("mode") not in (BYPASS, NEVER):
            yield kind


@lru_cache(maxsize=256)
def _drawing(file: Path) -> str | None:
    try:
        return svg(picture_of(read_workflow(file), {}))
    except WorkflowError:
        return None
