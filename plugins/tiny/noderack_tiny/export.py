"""The files people load: an SD 1.5 checkpoint, a LoRA beside it, and a manifest for each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from noderack_diffusion.shapes import METADATA_KEY
from noderack_diffusion.vae import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from noderack_tiny.autoencoder import VAE
from noderack_tiny.diffusion import TEXT, UNET, Painter
from noderack_tiny.draw import CONCEPT, TRIGGER
from noderack_tiny.lora import RANK, Adapter

_TABLE = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
_PARTS = {
    "unet": "model.diffusion_model.",
    "text": "cond_stage_model.transformer.",
    "vae": "first_stage_model.",
}


def save_checkpoint(path: Path, painter: Painter, vae: AutoencoderKL, about: Mapping[str, str]) -> None:
    """Write the single-file layout in fp16, the table of tokens (49,408 rows: 40 % of all numbers) in fp8."""
    modules: dict[str, nn.Module] = {"unet": painter.unet, "text": painter.text, "vae": vae}
    tensors = {
        prefix + name: tensor.detach().half().contiguous()
        for part, prefix in _PARTS.items()
        for name, tensor in modules[part].state_dict().items()
    }
    tensors[_TABLE] = tensors[_TABLE].to(torch.float8_e4m3fn)
    config = {
        "unet": {"groups": UNET.groups, "heads": UNET.heads},
        "vae": {"groups": VAE.groups},
        "clip": {"heads": TEXT.heads},
    }
    save_file(tensors, path, {METADATA_KEY: json.dumps(config), **about})


def load_parts(path: Path, painter: Painter, vae: AutoencoderKL) -> None:
    """Read a checkpoint of ours back into fp32 modules."""
    tensors = load_file(path)
    modules: dict[str, nn.Module] = {"unet": painter.unet, "text": painter.text, "vae": vae}
    for part, prefix in _PARTS.items():
        mine: dict[str, Tensor] = {
            name.removeprefix(prefix): tensor.float()
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        modules[part].load_state_dict(mine)


def save_lora(path: Path, adapter: Adapter) -> None:
    """Write the LoRA in fp16, with the trigger where trainers of the field put it."""
    about = {
        "ss_base_model_version": "sd_v1",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(RANK),
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.trigger_phrase": TRIGGER,
    }
    save_file({name: tensor.half().contiguous() for name, tensor in adapter.tensors()}, path, about)


def describe(checkpoint: Path, lora: Path) -> None:
    """Write each file's manifest beside it."""
    _save_manifest(
        checkpoint,
        folder="checkpoints",
        kind="checkpoint",
        title="Noderack shapes",
        description="A tiny Stable Diffusion 1.5: coloured shapes on coloured backgrounds, 64 x 64 pixels.",
    )
    _save_manifest(
        lora,
        folder="loras",
        kind="lora",
        title=f"Noderack shapes: {CONCEPT}",
        description=f"Draws a {CONCEPT} where the prompt says {TRIGGER}; for noderack-shapes only.",
        trigger_words=[TRIGGER],
    )


def _save_manifest(model: Path, **fields: object) -> None:
    """The fields of `noderack_registry.schema.ModelManifest`, in a .json beside the model."""
    content = model.read_bytes()
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "name": model.name}
    manifest = {**facts, "base": "SD 1.5", "licence": "Apache-2.0", "sources": [], **fields}
    model.with_suffix(".json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
