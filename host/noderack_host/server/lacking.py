"""What an opened workflow needs and this server lacks, known without asking anybody."""

from typing import Any

from noderack_host.folders import ModelFolders
from noderack_host.packs import Packs
from noderack_host.workflow import Workflow


def lacking(workflow: Workflow, packs: Packs, folders: ModelFolders) -> dict[str, Any]:
    """`types` with the pack that the workflow names for each, and `models` with folder and address."""
    types = [
        {"type": use.type, "nodes": list(use.ids), "pack": use.pack_id or use.aux_id}
        for use in workflow.node_uses()
        if use.type not in packs.nodes
    ]
    models = [
        {"name": use.name, "folder": use.folder, "url": use.url}
        for use in workflow.model_uses()
        if not _is_there(folders, use.name, use.folder)
    ]
    return {"types": types, "models": models}


def _is_there(folders: ModelFolders, name: str, folder: str | None) -> bool:
    for category in [folder] if folder else folders.categories:
        try:
            if folders.find(category, name) is not None:
                return True
        except (KeyError, ValueError):  # a category that this host does not have
            continue
    return False
