"""`comfy.sampler_helpers`: conditioning lists as dicts, masks as latents are."""

from __future__ import annotations

import uuid
from typing import Any

import torch
from noderack_compat.missing import gap
from noderack_diffusion.sampling_run import fit_mask

__getattr__ = gap(__name__)


def prepare_mask(noise_mask: Any, shape: Any, device: Any) -> Any:
    """A mask of any size as a latent of `shape` has it."""
    return fit_mask(noise_mask, torch.zeros(()).expand(tuple(shape))).to(device)


def convert_cond(cond: Any) -> list[dict[str, Any]]:
    """Each entry as one dict."""
    found = []
    for tensor, options in cond:
        row = {**options, "model_conds": options.get("model_conds", {}), "uuid": uuid.uuid4()}
        if tensor is not None:
            row["cross_attn"] = tensor
        found.append(row)
    return found


def get_additional_models(conds: Any, dtype: Any = None) -> tuple[list[Any], int]:
    """Control networks of packs and the like, and the memory that they want."""
    found: list[Any] = []
    for rows in conds.values() if isinstance(conds, dict) else conds:
        for row in rows:
            getter = getattr(row.get("control"), "get_models", None)
            found += getter() if getter else []
    return list(dict.fromkeys(found)), 0


def cleanup_additional_models(models: Any) -> None:
    for model in models:
        if hasattr(model, "cleanup"):
            model.cleanup()
