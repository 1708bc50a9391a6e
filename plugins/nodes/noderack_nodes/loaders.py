"""From files to MODEL, CLIP and VAE."""

from __future__ import annotations

from typing import Any, ClassVar

from noderack_nodes.places import model_names, model_path
from noderack_nodes.sockets import CLIP, MODEL, Inputs, Mappings, Node, number

_STRENGTH = number(1.0, -100.0, 100.0)


class CheckpointLoaderSimple(Node):
    """A checkpoint file: model, text encoder and VAE."""

    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    CATEGORY = "loaders"
    FUNCTION = "load_checkpoint"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The checkpoints in the model folders now."""
        return {"required": {"ckpt_name": (model_names("checkpoints"),)}}

    def load_checkpoint(self, ckpt_name: str) -> tuple[Any, Any, Any]:
        """The file is mapped into memory, not copied."""
        from noderack_diffusion.checkpoint import load_checkpoint

        from noderack_nodes.embeddings import embedding

        loaded = load_checkpoint(model_path("checkpoints", ckpt_name), embeddings=embedding)
        return loaded.model, loaded.clip, loaded.vae


class VAELoader(Node):
    """A VAE from a file of its own."""

    RETURN_TYPES = ("VAE",)
    CATEGORY = "loaders"
    FUNCTION = "load_vae"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The VAE files in the model folders now."""
        return {"required": {"vae_name": (model_names("vae"),)}}

    def load_vae(self, vae_name: str) -> tuple[Any]:
        """Single-file VAEs, with or without a `first_stage_model.` prefix."""
        from noderack_diffusion.checkpoint import load_vae

        return (load_vae(model_path("vae", vae_name)),)


class LoraLoader(Node):
    """A LoRA on model and text encoder."""

    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("MODEL", "CLIP")
    CATEGORY = "loaders"
    FUNCTION = "load_lora"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The LoRA files in the model folders now."""
        return {
            "required": {
                "model": MODEL,
                "clip": CLIP,
                "lora_name": (model_names("loras"),),
                "strength_model": _STRENGTH,
                "strength_clip": _STRENGTH,
            }
        }

    def load_lora(
        self, model: Any, clip: Any, lora_name: str, strength_model: float, strength_clip: float
    ) -> tuple[Any, Any]:
        """New handles; those that came in stay as they are."""
        return _patched(model, lora_name, strength_model), _patched(clip, lora_name, strength_clip)


class LoraLoaderModelOnly(Node):
    """A LoRA on the model alone."""

    RETURN_TYPES = ("MODEL",)
    CATEGORY = "loaders"
    FUNCTION = "load_lora_model_only"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The LoRA files in the model folders now."""
        return {
            "required": {"model": MODEL, "lora_name": (model_names("loras"),), "strength_model": _STRENGTH}
        }

    def load_lora_model_only(self, model: Any, lora_name: str, strength_model: float) -> tuple[Any]:
        """A new handle; the one that came in stays as it is."""
        return (_patched(model, lora_name, strength_model),)


def _patched(handle: Any, lora_name: str, strength: float) -> Any:
    from noderack_diffusion.lora import load_lora, patches_for

    if strength == 0 or handle is None:
        return handle
    patches, _report = patches_for(load_lora(model_path("loras", lora_name)), handle, strength)
    return handle.with_patches(patches)


NODES: Mappings = {
    node.__name__: node for node in (CheckpointLoaderSimple, VAELoader, LoraLoader, LoraLoaderModelOnly)
}
NAMES = {
    "CheckpointLoaderSimple": "Load Checkpoint",
    "VAELoader": "Load VAE",
    "LoraLoader": "Load LoRA",
}
