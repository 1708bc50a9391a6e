"""Textual inversions: `embedding:name` in a prompt is a file in the embeddings folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from noderack_host.running import current_or_none

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_ENDINGS = ("", ".safetensors", ".pt", ".bin")
_VECTORS = "emb_params"


def embedding(name: str, tower: str, width: int) -> Tensor | None:
    """The vectors [n, width] of an embedding for the tower "l", "g" or "h", or None if no file has them."""
    path = _path(name)
    if path is None:
        return None
    tensors = _tensors(path)
    wanted = tensors.get(f"clip_{tower}", tensors.get(_VECTORS))
    candidates = [wanted] if wanted is not None else list(tensors.values())
    fitting = (tensor for tensor in candidates if tensor.shape[-1] == width)
    found = next(fitting, None)
    return None if found is None else found.reshape(-1, width).float()


def _path(name: str) -> Path | None:
    running = current_or_none()
    if running is None or running.folders is None:
        return None
    paths = (running.folders.find("embeddings", name + ending) for ending in _ENDINGS)
    return next((path for path in paths if path is not None), None)


def _tensors(path: Path) -> Mapping[str, Tensor]:
    """The file's tensors by name; pickles are read for their weights only, never run."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(loaded, dict) and "string_to_param" in loaded:
        return dict(loaded["string_to_param"])
    return {str(key): value for key, value in loaded.items() if isinstance(value, torch.Tensor)}
