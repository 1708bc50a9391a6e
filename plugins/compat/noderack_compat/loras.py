"""LoRA from tensors that a pack has loaded by itself."""

from __future__ import annotations

import tempfile
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
