"""The model files that a pack says it wants."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from noderack_registry.packing.errors import MetadataError
from noderack_registry.packing.metadata import PackMetadata
from noderack_registry.schema import ModelManifest, Source


def wanted_models(pack: PackMetadata) -> list[dict[str, Any]]:
    """Manifests from [[tool.noderack.models]], and from `Models` of [tool.comfy]; those have no hash."""
    manifests = [_manifest(index, row) for index, row in enumerate(pack.noderack.get("models", ()))]
    rows = pack.comfy.get("Models") or ()
    manifests += [found for row in rows if isinstance(row, dict) and (found := _comfy_model(row))]
    return [manifest.to_json() for manifest in manifests]


def _manifest(index: int, row: Any) -> ModelManifest:
    try:
        return ModelManifest.from_json(row)
    except ValueError as cause:
        raise MetadataError(
            f"[tool.noderack] models[{index}]: {cause}", "mend it in pyproject.toml"
        ) from cause


def _comfy_model(row: dict[str, Any]) -> ModelManifest | None:
    """A row {location, model_url}: the folder is the location without a leading `models`."""
    url, location = str(row.get("model_url", "")), PurePosixPath(str(row.get("location", "")))
    parts = [part for part in location.parts if part not in ("/", ".", "..")]
    parts = parts[1:] if parts and parts[0] == "models" else parts
    named = bool(parts and "." in parts[-1])
    name = parts[-1] if named else unquote(PurePosixPath(urlsplit(url).path).name)
    folder = parts[:-1] if named else parts
    if not url.startswith(("http://", "https://")) or not name or not folder:
        return None
    return ModelManifest(name=name, folder=folder[0], sources=(Source("url", url),))
