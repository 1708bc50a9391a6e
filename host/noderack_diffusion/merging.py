"""Merged models, as patches that read the other model's file when a weight is made; and files written of
them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from noderack_diffusion.autoencoder import Vae
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.model import Model
from noderack_diffusion.patch import Patch, PatchSet, apply
from noderack_diffusion.shapes import METADATA_KEY
from noderack_diffusion.textenc import Clip
from noderack_diffusion.weights import Live

Ratio = Callable[[str], float]
"""Parameter name -> how much of the first model stays (1: all of it)."""


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """The weight of another model (with its own patches), added."""

    live: Live
    parameter: str
    patches: PatchSet

    def _value(self) -> Tensor:
        stored = self.live.pieces[self.parameter].read()
        return apply(stored, self.patches.on(self.parameter))

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why the other model's weight cannot be added to one of ``shape``."""
        own = self.live.pieces[self.parameter].dims()
        return None if own == shape else f"the other model's is {list(own)}"

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """The weight plus the other's, times ``strength``."""
        return weight.add_(self._value(), alpha=strength)


def blend(one: Model, other: Model, ratio: Ratio) -> Model:
    """``ratio`` of the first model and the rest of the second, weight by weight."""
    return one.with_patches(_patches(one, other, lambda name: (ratio(name), 1.0 - ratio(name))))


def add(one: Model, other: Model, strength: float = 1.0) -> Model:
    """The first model plus ``strength`` times the second."""
    return one.with_patches(_patches(one, other, lambda name: (1.0, strength)))


def _patches(one: Model, other: Model, factors: Callable[[str], tuple[float, float]]) -> PatchSet:
    found = []
    for name, piece in one.live.pieces.items():
        if name not in other.live.pieces:
            continue
        delta = Other(other.live, name, other.patches)
        why = delta.misfit(piece.dims())
        if why:
            raise MismatchError(f"these models are of different shape: {name} is {list(piece.dims())}, {why}")
        base, strength = factors(name)
        if (base, strength) != (1.0, 0.0):
            found.append(Patch(name, delta, f"{other.key}:{name}", strength, base))
    if not found and one.live.pieces.keys().isdisjoint(other.live.pieces):
        raise MismatchError("these models have no weight in common")
    return PatchSet(tuple(found))


def block_ratio(first: float, middle: float, last: float, default: float = 1.0) -> Ratio:
    """One ratio for each part of a U-Net."""
    parts = {"input_blocks.": first, "middle_block.": middle, "output_blocks.": last}

    def ratio(name: str) -> float:
        return next((value for prefix, value in parts.items() if name.startswith(prefix)), default)

    return ratio


def extract_lora(one: Model, other: Model, rank: int) -> dict[str, Tensor]:
    """What ``other`` changes about ``one``, as a LoRA of ``rank`` (by SVD), in the generic key names."""
    found: dict[str, Tensor] = {}
    for name, piece in one.live.pieces.items():
        if not name.endswith(".weight") or len(piece.dims()) < 2 or name not in other.live.pieces:
            continue
        after = other.live.weight(name, other.patches).float().cpu()
        change = after - one.live.weight(name, one.patches).float().cpu()
        if not change.any():
            continue
        left, sizes, right = torch.linalg.svd(change.flatten(1), full_matrices=False)
        n = min(rank, len(sizes))
        tail = tuple(1 for _ in change.shape[2:])
        stem = f"diffusion_model.{name.removesuffix('.weight')}"
        up, down = left[:, :n] * sizes[:n].sqrt(), right[:n] * sizes[:n].sqrt()[:, None]
        found[f"{stem}.lora_up.weight"] = up.reshape(-1, n, *tail).contiguous()
        found[f"{stem}.lora_down.weight"] = down.reshape(n, *change.shape[1:]).contiguous()
        found[f"{stem}.alpha"] = torch.tensor(float(n))
    return found


def save_checkpoint(
    path: Path,
    model: Model,
    clip: Clip | None = None,
    vae: Vae | None = None,
    *,
    dtype: torch.dtype = torch.float16,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a single-file checkpoint of what the handles compute now. The file appears whole or not at
    all.
    """
    tensors = _tensors(model.live, model.patches, "model.diffusion_model.", dtype)
    if vae is not None:
        tensors |= _tensors(vae.live, PatchSet(), "first_stage_model.", dtype)
    for tower in clip.towers if clip else ():
        name = tower.recipe.name
        assert clip is not None
        place = next(p for p, form in tower.recipe.places if form == "hf")
        tensors |= _tensors(tower.live, clip.patches.below(f"{name}."), place, dtype)
    part = path.with_name(f".{path.name}.part")
    save_file(tensors, part, {**told_by(model, vae), **(metadata or {})})
    part.replace(path)


def told_by(model: Model, vae: Vae | None) -> dict[str, str]:
    """What shapes cannot tell of a model, as file metadata."""
    config = model.spec.unet
    assert config is not None
    heads = {"heads": config.heads} if config.heads else {"head_dim": config.head_dim}
    parts = {"unet": {**heads, "groups": config.groups}}
    if vae is not None:
        parts["vae"] = {"groups": vae.config.groups}
    return {METADATA_KEY: json.dumps(parts)}


def _tensors(live: Live, patches: PatchSet, prefix: str, dtype: torch.dtype) -> dict[str, Tensor]:
    found = {}
    for name, piece in live.pieces.items():
        stored = piece.read()
        if not stored.is_floating_point():
            continue
        value = apply(stored, patches.on(name)) if patches.on(name) else stored
        found[prefix + name] = value.to(dtype).contiguous()
    return found
