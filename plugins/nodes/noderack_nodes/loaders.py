"""From files to MODEL, CLIP and VAE."""

from __future__ import annotations

import re
from typing import Any

from noderack_nodes.places import model_folder, model_folders, model_names, model_path, reads
from noderack_nodes.sockets import Inputs, Mappings, Node, choice

CONFIGS: dict[str, tuple[bool, int | None]] = {
    "anything_v3.yaml": (False, -2),
    "v1-inference.yaml": (False, None),
    "v1-inference_clip_skip_2.yaml": (False, -2),
    "v1-inference_clip_skip_2_fp16.yaml": (False, -2),
    "v1-inference_fp16.yaml": (False, None),
    "v1-inpainting-inference.yaml": (False, None),
    "v2-inference-v.yaml": (True, None),
    "v2-inference-v_fp32.yaml": (True, None),
    "v2-inference.yaml": (False, None),
    "v2-inference_fp32.yaml": (False, None),
    "v2-inpainting-inference.yaml": (False, None),
}
"""What the well-known files say: whether the model predicts a velocity, and the layer of the text encoder."""
_STORED = {
    "default": None,
    "fp8_e4m3fn": "e4m3fn",
    "fp8_e4m3fn_fast": "e4m3fn",
    "fp8_e5m2": "e5m2",
    "int8": "int8",
}
"""How weights are kept in memory, by the name that workflows have for it; the last is ours."""
_CLIP_TYPES = (
    *("stable_diffusion", "stable_cascade", "sd3", "stable_audio", "mochi", "ltxv", "pixart", "cosmos"),
    *("lumina2", "wan", "hidream", "chroma", "ace", "omnigen2", "qwen_image", "hunyuan_image"),
)
_DUAL_TYPES = ("sdxl", "sd3", "flux", "hunyuan_video", "hidream", "hunyuan_image")
_DEVICE = (["default", "cpu"], {"advanced": True})


@reads(ckpt_name="checkpoints")
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


@reads(ckpt_name="checkpoints")
class unCLIPCheckpointLoader(Node):
    """A checkpoint that brings an image tower beside the rest."""

    RETURN_TYPES = ("MODEL", "CLIP", "VAE", "CLIP_VISION")
    CATEGORY = "loaders"
    FUNCTION = "load_checkpoint"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The checkpoints in the model folders now."""
        return {"required": {"ckpt_name": (model_names("checkpoints"),)}}

    def load_checkpoint(self, ckpt_name: str) -> tuple[Any, Any, Any, Any]:
        """The file is mapped into memory, not copied."""
        from noderack_diffusion.vision import load_vision

        model, clip, vae = CheckpointLoaderSimple().load_checkpoint(ckpt_name)
        return model, clip, vae, load_vision(model_path("checkpoints", ckpt_name))


@reads(ckpt_name="checkpoints")
class CheckpointLoader(Node):
    """A checkpoint, and the name of a file that says how its output is read."""

    DEPRECATED = True
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    CATEGORY = "advanced/loaders"
    FUNCTION = "load_checkpoint"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The well-known names, and the files in models/configs."""
        own = [name for name in model_names("configs") if name not in CONFIGS]
        return {"required": {"config_name": ([*CONFIGS, *own],), "ckpt_name": (model_names("checkpoints"),)}}

    def load_checkpoint(self, config_name: str, ckpt_name: str) -> tuple[Any, Any, Any]:
        """What kind of model it is, the checkpoint itself tells; from the file comes what it cannot tell."""
        from noderack_diffusion.sigma import standard

        model, clip, vae = CheckpointLoaderSimple().load_checkpoint(ckpt_name)
        velocity, layer = CONFIGS[config_name] if config_name in CONFIGS else _config(config_name)
        if velocity:
            model = model.with_parametrisation(standard("v", betas=model.spec.family.betas))
        return model, clip if layer is None or clip is None else clip.with_layer(layer), vae


@reads(vae_name="vae")
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


@reads(unet_name="diffusion_models")
class UNETLoader(Node):
    """A denoising model from a file of its own."""

    RETURN_TYPES = ("MODEL",)
    CATEGORY = "advanced/loaders"
    FUNCTION = "load_unet"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The diffusion models in the model folders now."""
        return {
            "required": {"unet_name": (model_names("diffusion_models"),), "weight_dtype": choice(*_STORED)}
        }

    def load_unet(self, unet_name: str, weight_dtype: str) -> tuple[Any]:
        """`weight_dtype` is how weights are kept in memory; they are computed with at the usual dtype."""
        from noderack_diffusion.folder import load_model_file

        return (load_model_file(model_path("diffusion_models", unet_name), stored=_STORED[weight_dtype]),)


@reads(clip_name="text_encoders")
class CLIPLoader(Node):
    """A text encoder from a file of its own."""

    RETURN_TYPES = ("CLIP",)
    CATEGORY = "advanced/loaders"
    FUNCTION = "load_clip"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The text encoders in the model folders now."""
        return {
            "required": {"clip_name": (model_names("text_encoders"),), "type": choice(*_CLIP_TYPES)},
            "optional": {"device": _DEVICE},
        }

    def load_clip(
        self, clip_name: str, type: str = "stable_diffusion", device: str = "default"
    ) -> tuple[Any]:
        """What family it serves is read from the file; `type` matters only where a file serves several."""
        return (_text_encoder([clip_name], device),)


@reads(clip_name1="text_encoders", clip_name2="text_encoders")
class DualCLIPLoader(Node):
    """Two text encoders that a family uses together."""

    RETURN_TYPES = ("CLIP",)
    CATEGORY = "advanced/loaders"
    FUNCTION = "load_clip"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The text encoders in the model folders now."""
        names = model_names("text_encoders")
        return {
            "required": {"clip_name1": (names,), "clip_name2": (names,), "type": choice(*_DUAL_TYPES)},
            "optional": {"device": _DEVICE},
        }

    def load_clip(self, clip_name1: str, clip_name2: str, type: str, device: str = "default") -> tuple[Any]:
        """In either order: which is which is read from the files."""
        return (_text_encoder([clip_name1, clip_name2], device),)


class DiffusersLoader(Node):
    """A model as a folder, the way diffusers keeps it."""

    DEPRECATED = True
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    CATEGORY = "advanced/loaders/deprecated"
    FUNCTION = "load_checkpoint"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The folders below models/diffusers that hold a model_index.json."""
        return {"required": {"model_path": (model_folders("diffusers", "model_index.json"),)}}

    def load_checkpoint(self, model_path: str) -> tuple[Any, Any, Any]:
        """Its U-Net, text encoders and VAE."""
        from noderack_diffusion.folder import load_folder

        from noderack_nodes.embeddings import embedding

        loaded = load_folder(model_folder("diffusers", model_path), embeddings=embedding)
        return loaded.model, loaded.clip, loaded.vae


@reads(clip_name="clip_vision")
class CLIPVisionLoader(Node):
    """CLIP's tower for pictures."""

    RETURN_TYPES = ("CLIP_VISION",)
    CATEGORY = "loaders"
    FUNCTION = "load_clip"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The image towers in the model folders now."""
        return {"required": {"clip_name": (model_names("clip_vision"),)}}

    def load_clip(self, clip_name: str) -> tuple[Any]:
        """In the names of Hugging Face or of OpenCLIP."""
        from noderack_diffusion.vision import load_vision

        return (load_vision(model_path("clip_vision", clip_name)),)


def _config(name: str) -> tuple[bool, int | None]:
    """What a file of the user's own says."""
    told = model_path("configs", name).read_text(encoding="utf-8", errors="replace")
    layer = re.search(r"^\s*layer_idx:\s*(-?\d+)", told, re.M)
    velocity = re.search(r"^\s*parameterization:\s*[\"']?v[\"']?\s*$", told, re.M)
    return velocity is not None, None if layer is None else int(layer[1])


def _text_encoder(names: list[str], device: str) -> Any:
    from noderack_diffusion.text_files import load_text_encoder

    from noderack_nodes.embeddings import embedding

    paths = [model_path("text_encoders", name) for name in names]
    return load_text_encoder(paths, device=None if device == "default" else device, embeddings=embedding)


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(CheckpointLoaderSimple, VAELoader),
        *(UNETLoader, CLIPLoader, DualCLIPLoader, DiffusersLoader, CLIPVisionLoader),
        *(CheckpointLoader, unCLIPCheckpointLoader),
    )
}
NAMES = {
    "CheckpointLoaderSimple": "Load Checkpoint",
    "CheckpointLoader": "Load Checkpoint With Config (DEPRECATED)",
    "VAELoader": "Load VAE",
    "UNETLoader": "Load Diffusion Model",
    "CLIPLoader": "Load CLIP",
    "CLIPVisionLoader": "Load CLIP Vision",
}
