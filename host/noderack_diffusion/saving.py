"""Files of what handles compute now, patches and all: checkpoints, parts of them, and LoRAs of differences.

A file appears whole or not at all.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from noderack_diffusion.autoencoder import Vae
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.merging import weights_of
from noderack_diffusion.model import Model
from noderack_diffusion.patch import PatchSet, apply
from noderack_diffusion.shapes import METADATA_KEY, told
from noderack_diffusion.textenc import Clip, Tower
from noderack_diffusion.weights import Live

Metadata = Mapping[str, str]


def save_checkpoint(
    path: Path,
    model: Model,
    clip: Clip | None = None,
    vae: Vae | None = None,
    *,
    dtype: torch.dtype = torch.float16,
    metadata: Metadata | None = None,
) -> None:
    """A single-file checkpoint."""
    tensors = _tensors(model.live, model.patches, "model.diffusion_model.", dtype)
    if vae is not None:
        tensors |= _tensors(vae.live, PatchSet(), "first_stage_model.", dtype)
    for tower in clip.towers if clip else ():
        assert clip is not None
        place = next(p for p, form in tower.recipe.places if form == "hf")
        tensors |= _tensors(tower.live, clip.patches.below(f"{tower.recipe.name}."), place, dtype)
    towers = clip.towers if clip else ()
    _write(path, tensors, {**told_by(model, vae, towers), **(metadata or {})})


def save_tower(
    path: Path,
    clip: Clip,
    tower: Tower,
    *,
    dtype: torch.dtype = torch.float16,
    metadata: Metadata | None = None,
) -> None:
    """One text tower, under the names of Hugging Face."""
    patches = clip.patches.below(f"{tower.recipe.name}.")
    said = {METADATA_KEY: json.dumps(_said(tower))}
    _write(path, _tensors(tower.live, patches, "", dtype), {**said, **(metadata or {})})


def save_vae(
    path: Path, vae: Vae, *, dtype: torch.dtype = torch.float16, metadata: Metadata | None = None
) -> None:
    """The autoencoder alone."""
    said = {METADATA_KEY: json.dumps({"vae": {"groups": vae.config.groups}})}
    _write(path, _tensors(vae.live, PatchSet(), "", dtype), {**said, **(metadata or {})})


def save_difference(
    path: Path,
    model: Model | None = None,
    clip: Clip | None = None,
    *,
    rank: int | None = 8,
    biases: bool = True,
    metadata: Metadata | None = None,
) -> None:
    """A difference that handles compute, as an adapter file: of ``rank``, or whole without one."""
    changes = dict(_changes(model, clip))
    tensors = {k: v.half() for k, v in adapter_of(changes, rank, biases=biases).items()}
    if not tensors:
        raise MismatchError("there is no difference to save: connect one, as ModelMergeSubtract gives it")
    _write(path, tensors, metadata)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Metadata | None = None) -> None:
    """A file of these tensors, under their names."""
    _write(path, {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)


def extract_lora(one: Model, other: Model, rank: int) -> dict[str, Tensor]:
    """What ``other`` changes about ``one``, as a LoRA of ``rank``, in the generic key names."""
    before, after = weights_of(one), weights_of(other)
    changes = {
        f"diffusion_model.{name}": after[name].value() - weight.value()
        for name, weight in before.items()
        if name in after and len(weight.shape) > 1
    }
    return adapter_of(changes, rank, biases=False)


def adapter_of(changes: Mapping[str, Tensor], rank: int | None, *, biases: bool) -> dict[str, Tensor]:
    """Changes of weights by name -> an adapter's tensors. What does not change is left out."""
    found: dict[str, Tensor] = {}
    for name, change in changes.items():
        stem, _, leaf = name.rpartition(".")
        if not change.any() or (leaf == "bias" and not biases) or leaf not in ("weight", "bias"):
            continue
        if leaf == "weight" and change.dim() > 1 and rank is not None:
            found |= _low_rank(stem, change, rank)
        elif biases or change.dim() > 1:
            found[f"{stem}.diff{'_b' if leaf == 'bias' else ''}"] = change.contiguous()
    return found


def _low_rank(stem: str, change: Tensor, rank: int) -> dict[str, Tensor]:
    """The nearest change of that rank (by singular values, each shared between both factors)."""
    left, sizes, right = torch.linalg.svd(change.flatten(1), full_matrices=False)
    n = min(rank, len(sizes))
    ones = [1] * (change.dim() - 2)
    up, down = left[:, :n] * sizes[:n].sqrt(), right[:n] * sizes[:n].sqrt()[:, None]
    return {
        f"{stem}.lora_up.weight": up.reshape(-1, n, *ones).contiguous(),
        f"{stem}.lora_down.weight": down.reshape(n, *change.shape[1:]).contiguous(),
        f"{stem}.alpha": torch.tensor(float(n)),
    }


def _changes(model: Model | None, clip: Clip | None) -> Iterator[tuple[str, Tensor]]:
    if model is not None:
        for name, weight in weights_of(model).items():
            yield f"diffusion_model.{name}", weight.value()
    if clip is not None:
        for name, weight in weights_of(clip).items():
            tower, _, path = name.partition(".")
            yield f"text_encoders.clip_{tower}.transformer.{path}", weight.value()


def told_by(model: Model, vae: Vae | None = None, towers: Iterable[Tower] = ()) -> dict[str, str]:
    """What shapes cannot tell of a model, as file metadata."""
    config = model.spec.unet
    assert config is not None
    heads = {"heads": config.heads} if config.heads else {"head_dim": config.head_dim}
    parts = {"unet": {**heads, "groups": config.groups}}
    if vae is not None:
        parts["vae"] = {"groups": vae.config.groups}
    for tower in towers:
        parts |= _said(tower)
    return {METADATA_KEY: json.dumps(parts)}


def _said(tower: Tower) -> dict[str, dict[str, int]]:
    """What the file that a tower is from says of it beyond its shapes."""
    store = next(iter(tower.live.pieces.values())).store
    part = "clip" if tower.recipe.name == "l" else f"clip_{tower.recipe.name}"
    said = told(store.metadata, part)
    return {part: said} if said else {}


def _tensors(live: Live, patches: PatchSet, prefix: str, dtype: torch.dtype) -> dict[str, Tensor]:
    found = {}
    for name, piece in live.pieces.items():
        stored = piece.read()
        if not stored.is_floating_point():
            continue
        value = apply(stored, patches.on(name)) if patches.on(name) else stored
        found[prefix + name] = value.to(dtype).contiguous()
    return found


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: Metadata | None) -> None:
    part = path.with_name(f".{path.name}.part")
    save_file(dict(tensors), part, dict(metadata or {}))
    part.replace(path)
