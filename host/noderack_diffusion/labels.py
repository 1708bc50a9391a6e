"""The label vectors of families that have them: what a picture's size and score are told to the network
by.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from noderack_diffusion import lowres, unclip
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.ops import timestep_embedding
from noderack_diffusion.spec import ModelSpec

SIZE_WIDTH = 256
POSITIVE_SCORE = 6.0
NEGATIVE_SCORE = 2.5

Label = Callable[[Mapping[str, Any], Tensor, bool, ModelSpec], "Tensor | None"]
"""(conditioning entry, latent, positive?, spec) -> vector ``[1, adm]`` or None."""


def _none(entry: Mapping[str, Any], latent: Tensor, positive: bool, spec: ModelSpec) -> None:
    return None


def _pooled(entry: Mapping[str, Any], spec: ModelSpec, numbers: int) -> Tensor:
    width = (spec.unet.adm if spec.unet else 0) - numbers * SIZE_WIDTH
    pooled = entry.get("pooled_output")
    if "unclip_conditioning" in entry:
        told = unclip.label(
            entry["unclip_conditioning"], unclip.usual(width), entry.get("seed") or 0, merged=0.0
        )
        return told[:, :width]
    if pooled is None:
        return torch.zeros(1, width)
    if pooled.shape[-1] != width:
        raise MismatchError(
            f"the prompt's pooled vector is {pooled.shape[-1]} wide, {spec.family.title} wants {width}; "
            "use the text encoder of this checkpoint"
        )
    return torch.as_tensor(pooled, dtype=torch.float32)


def _with_numbers(pooled: Tensor, numbers: list[float]) -> Tensor:
    told = timestep_embedding(torch.tensor(numbers, dtype=torch.float32), SIZE_WIDTH).flatten()[None]
    return torch.cat([pooled, told.to(pooled.device).repeat(pooled.shape[0], 1)], dim=1)


def _shared(entry: Mapping[str, Any], latent: Tensor, spec: ModelSpec) -> tuple[float, float, float, float]:
    factor = spec.family.latent.factor
    width, height = (
        entry.get("width", latent.shape[-1] * factor),
        entry.get("height", latent.shape[-2] * factor),
    )
    return width, height, entry.get("crop_w", 0), entry.get("crop_h", 0)


def _size(entry: Mapping[str, Any], latent: Tensor, positive: bool, spec: ModelSpec) -> Tensor:
    width, height, crop_w, crop_h = _shared(entry, latent, spec)
    target = [entry.get("target_height", height), entry.get("target_width", width)]
    return _with_numbers(_pooled(entry, spec, 6), [height, width, crop_h, crop_w, *target])


def _aesthetic(entry: Mapping[str, Any], latent: Tensor, positive: bool, spec: ModelSpec) -> Tensor:
    width, height, crop_w, crop_h = _shared(entry, latent, spec)
    score = entry.get("aesthetic_score", POSITIVE_SCORE if positive else NEGATIVE_SCORE)
    return _with_numbers(_pooled(entry, spec, 5), [height, width, crop_h, crop_w, score])


def _unclip(entry: Mapping[str, Any], latent: Tensor, positive: bool, spec: ModelSpec) -> Tensor:
    width = spec.unet.adm if spec.unet else 0
    given = entry.get("unclip_conditioning")
    if given is None:
        return torch.zeros(1, width)
    return unclip.label(given, spec.seen or unclip.usual(width // 2), entry.get("seed") or 0)


def _level(entry: Mapping[str, Any], latent: Tensor, positive: bool, spec: ModelSpec) -> Tensor:
    return torch.tensor([[float(lowres.level_of(entry))]])


LABELS: Mapping[str, Label] = {
    "none": _none,
    "size": _size,
    "aesthetic": _aesthetic,
    "unclip": _unclip,
    "level": _level,
}
"""By the name in a family's row."""
