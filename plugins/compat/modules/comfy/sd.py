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
from noderack_diffusion.style import Style as StyleModel
from noderack_diffusion.style import load_style as _load_style
from noderack_diffusion.text_files import load_text_encoder
from noderack_diffusion.textenc import Clip as CLIP
from noderack_diffusion.vision import vision_in

from comfy import model_detection

__getattr__ = gap(__name__)
__all__ = [
    "CLIP",
    "VAE",
    "CLIPType",
    "StyleModel",
    "load_checkpoint_guess_config",
    "load_clip",
    "load_diffusion_model",
    "load_lora_for_models",
    "load_style_model",
    "model_detection",
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


def load_checkpoint(
    config_path: str | None = None,
    ckpt_path: str | None = None,
    output_vae: bool = True,
    output_clip: bool = True,
    embedding_directory: Any = None,
    state_dict: Any = None,
    config: Any = None,
) -> tuple[Any, Any, Any]:
    """(MODEL, CLIP, VAE) of a checkpoint; what kind it is is read from the file, not from a config."""
    if ckpt_path is None:
        raise ValueError("comfy.sd.load_checkpoint needs ckpt_path: the checkpoint's file")
    return load_checkpoint_guess_config(ckpt_path, output_vae, output_clip)[:3]


def save_checkpoint(
    output_path: str,
    model: Any,
    clip: Any = None,
    vae: Any = None,
    clip_vision: Any = None,
    metadata: Any = None,
    extra_keys: Any = None,
) -> None:
    """Writes a single-file checkpoint, with what is on the weights in them."""
    from pathlib import Path

    from noderack_diffusion.saving import save_checkpoint as write

    write(Path(output_path), model, clip, vae, metadata=metadata)


def load_style_model(ckpt_path: str) -> StyleModel:
    """A STYLE_MODEL of a file."""
    return _load_style(ckpt_path)


def load_diffusion_model_state_dict(sd: Any, model_options: Any = None, **_: Any) -> Any:
    """A MODEL of tensors in memory."""
    from noderack_compat.loras import in_a_file

    return in_a_file(sd, load_diffusion_model)


def load_unet_state_dict(sd: Any, dtype: Any = None) -> Any:
    """The same, as older packs call it."""
    return load_diffusion_model_state_dict(sd)


def load_text_encoder_state_dicts(
    state_dicts: Any = (), embedding_directory: Any = None, clip_type: Any = None, model_options: Any = None
) -> Any:
    """A CLIP of the tensors of one file or two, in memory."""
    from noderack_compat.loras import in_files

    return in_files(list(state_dicts), load_text_encoder)


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
