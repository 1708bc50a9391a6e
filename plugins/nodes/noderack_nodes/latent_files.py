"""Latents in files: kept from one run for another, in the format that hosts of the field share."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_host.save_names import save_name, write_new

from noderack_nodes.places import annotated_path, folder_of, input_names
from noderack_nodes.sockets import LATENT, Inputs, Latent, Mappings, Node

if TYPE_CHECKING:
    from pathlib import Path

    from noderack_nodes.sockets import Tensor

_ENDINGS = frozenset({".latent"})
_TENSOR = "latent_tensor"
_UNSCALED_MARK = "latent_format_version_0"
_OLD_SCALE = 0.18215


class SaveLatent(Node):
    """Writes a latent into the output folder, with the workflow that made it."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"samples": LATENT, "filename_prefix": ("STRING", {"default": "latents/ComfyUI"})},
        "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
    }
    RETURN_TYPES = ("LATENT",)
    RETURN_NAMES = ("samples",)
    OUTPUT_NODE = True
    CATEGORY = "_for_testing"
    FUNCTION = "save"

    def save(
        self,
        samples: Latent,
        filename_prefix: str = "ComfyUI",
        prompt: Any = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """To load it, move the file into the input folder, or choose it as `name.latent [output]`."""
        place = save_name(filename_prefix, folder_of("output"), 0, 0)
        told = {"prompt": prompt, **(extra_pnginfo or {})}
        metadata = {key: "" if value is None else json.dumps(value) for key, value in told.items()}
        write = partial(_write, tensor=samples["samples"], metadata=metadata)
        name = write_new(place, 0, ".latent", write)
        entry = {"filename": name, "subfolder": place.subfolder, "type": "output"}
        return {"ui": {"latents": [entry]}, "result": (samples,)}


class LoadLatent(Node):
    """Reads a latent from the input folder."""

    RETURN_TYPES = ("LATENT",)
    CATEGORY = "_for_testing"
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The latents in the input folder now."""
        return {"required": {"latent": [input_names("input", _ENDINGS)]}}

    def load(self, latent: str) -> tuple[Latent]:
        """Files of the oldest form hold scaled latents, which are scaled back."""
        from safetensors.torch import load_file

        tensors = load_file(annotated_path(latent))
        scale = 1.0 if _UNSCALED_MARK in tensors else _OLD_SCALE
        return ({"samples": tensors[_TENSOR].float() / scale},)

    @classmethod
    def IS_CHANGED(cls, latent: str) -> str:
        """The file's content counts, not its name."""
        import hashlib

        return hashlib.sha256(annotated_path(latent).read_bytes()).hexdigest()

    @classmethod
    def VALIDATE_INPUTS(cls, latent: str) -> bool | str:
        """A file that came after the list was made is fine; one that is not there is named."""
        from noderack_nodes.errors import ImageNotFound

        try:
            annotated_path(latent)
        except ImageNotFound:
            return f"there is no latent named {latent!r} in the input folder; put it there or pick another"
        return True


def _write(path: Path, tensor: Tensor, metadata: dict[str, str]) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({_TENSOR: tensor.contiguous(), _UNSCALED_MARK: torch.tensor([])}, path, metadata)


NODES: Mappings = {"SaveLatent": SaveLatent, "LoadLatent": LoadLatent}
NAMES: dict[str, str] = {}
