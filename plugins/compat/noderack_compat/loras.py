"""Models and LoRA from tensors that a pack has loaded by itself: the core reads them from files, mapped."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def on_models(
    model: Any, clip: Any, tensors: dict[str, Any], strength_model: float, strength_clip: float
) -> tuple[Any, Any]:
    """The core reads LoRA from files, mapped; tensors in memory go through one that is taken away again."""
    from noderack_diffusion.lora import load_lora, patches_for
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory(prefix="noderack-lora-") as folder:
        path = Path(folder) / "lora.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        lora = load_lora(path)
        done = []
        for handle, strength in ((model, strength_model), (clip, strength_clip)):
            if handle is not None and strength:
                patches, _ = patches_for(lora, handle, strength)
                handle = handle.with_patches(patches)
            done.append(handle)
    return done[0], done[1]


def in_a_file(tensors: Mapping[str, Any], read: Callable[[str], Any]) -> Any:
    """What `read` makes of a file with these tensors; the file is gone from the folder afterwards."""
    return in_files([tensors], lambda paths: read(paths[0]))


def in_files(parts: Sequence[Mapping[str, Any]], read: Callable[[list[str]], Any]) -> Any:
    """The same for several."""
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory(prefix="noderack-tensors-") as folder:
        paths = [str(Path(folder) / f"{place}.safetensors") for place in range(len(parts))]
        for path, tensors in zip(paths, parts, strict=True):
            save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
        return read(paths)
