"""The published templates and their pictures, where that package is installed; else an empty list."""

import importlib
import importlib.util
from functools import cached_property
from pathlib import Path

PACKAGE = "comfyui_workflow_templates"


class Templates:
    """Files of the templates by their name, found on the first request."""

    @cached_property
    def _owners(self) -> dict[str, str]:
        if importlib.util.find_spec(PACKAGE) is None:
            return {}
        entries = importlib.import_module(PACKAGE).iter_templates()
        return {asset.filename: entry.template_id for entry in entries for asset in entry.assets}

    def find(self, name: str) -> Path | None:
        """The file of that name; None if no installed part of the package has it."""
        owner = self._owners.get(name)
        if owner is None:
            return None
        try:
            return Path(importlib.import_module(PACKAGE).get_asset_path(owner, name))
        except (FileNotFoundError, KeyError):
            return None
