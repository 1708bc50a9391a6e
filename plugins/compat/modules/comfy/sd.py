"""`comfy.sd`: loading models from files, and LoRA onto them."""

from __future__ import annotations

import enum
from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.autoencoder import Vae as VAE
from noderack_diffusion.checkpoint import load_checkpoint as _load
from noderack_diffusion.checkpoint import placed
from noderack_diffusion.folder import load_model_file
from noderack_diffusion.store import Store
from noderack_diffusion.text_files import load_text_encoder
from noderack_diffusion.textenc import Clip as CLIP
from noderack_diffusion.vision import vision_in

__getattr__ = gap(__name__)
__all__ = [
    "CLIP",
    "VAE",
    "CLIPType",
    "load_checkpoint_guess_config",
    "load_clip",
    "load_diffusion_model",
    "load_lora_for_models",
]

CLIPType = enum.Enum(
    "CLIPType",
    "STABLE_DIFFUSION STABLE_CASCADE SD3 STABLE_AUDIO HUNYUAN_DIT FLUX MOCHI LTXV HUNYUAN_VIDEO "
    "PIXART COSMOS LUMINA2 WAN HIDREAM CHROMA ACE OMNIGEN2 QWEN_IMAGE HUNYUAN_IMAGE",
)


def load_checkpoint_guess_config(
    ckpt_path: str,
    output_vae: bool = True,
    output_clip: bool = True,
    output_clipvision: bool = False,
    embedding_directory: Any = None,
    output_model: bool = True,
    **_: Any,
) -> tuple[Any, Any, Any, Any]:
    """(MODEL, CLIP, VAE, CLIP_VISION) of a single-file checkpoint; None for what is absent or unwanted."""
    found = _load(ckpt_path)
    return (
        found.model if output_model else None,
        found.clip if output_clip else None,
        found.vae if output_vae else None,
        vision_in(Store.open(ckpt_path), placed()) if output_clipvision else None,
    )


def load_diffusion_model(unet_path: str, model_options: Any = None) -> Any:
    return load_model_file(unet_path)


load_unet = load_diffusion_model


def load_clip(
    ckpt_paths: list[str],
    embedding_directory: Any = None,
    clip_type: Any = CLIPType.STABLE_DIFFUSION,  # type: ignore[attr-defined]
    model_options: Any = None,
) -> Any:
    """The text encoders of one or two files; what family they serve is read from them."""
    return load_text_encoder(ckpt_paths)


def load_lora_for_models(
    model: Any, clip: Any, lora: Any, strength_model: float, strength_clip: float
) -> tuple[Any, Any]:
    """MODEL and CLIP with the LoRA of these tensors on them."""
    from noderack_compat.loras import on_models

    return on_models(model, clip, lora, strength_model, strength_clip)
