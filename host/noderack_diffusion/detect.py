"""What is in a weights file: told from names and shapes in its header alone, with the reason."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.filekind import another_model
from noderack_diffusion.shapes import Shapes, told
from noderack_diffusion.spec import (
    FAMILIES,
    PLAYGROUND,
    UNET_PREFIXES,
    VAE_PREFIXES,
    Family,
    ModelSpec,
    TowerRecipe,
)
from noderack_diffusion.store import TensorInfo
from noderack_diffusion.unet import UNetConfig, unet_config
from noderack_diffusion.vae import VaeConfig, vae_config

_UNET_MARK = "input_blocks.0.0.weight"
_VAE_MARK = "decoder.conv_in.weight"
EDM_HIGHEST, EDM_LOWEST = "edm_vpred.sigma_max", "edm_vpred.sigma_min"
"""The ends of the noise levels of networks that predict a velocity over EDM's."""
_TOWER_MARKS = {
    "hf": "text_model.final_layer_norm.weight",
    "bare": "final_layer_norm.weight",
    "open_clip": "ln_final.weight",
}
_DIFFUSERS_MARK = "conv_in.weight"


def below(header: Mapping[str, TensorInfo], prefix: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors under ``prefix``, keyed without it."""
    return {k.removeprefix(prefix): v.shape for k, v in header.items() if k.startswith(prefix)}


def find_prefix(header: Iterable[str], prefixes: Iterable[str], mark: str) -> str | None:
    """The first prefix under which the tensor ``mark`` is there."""
    names = set(header)
    return next((p for p in prefixes if p + mark in names), None)


def unet_prefix(header: Iterable[str]) -> str | None:
    """Where the U-Net lies in a file, if it has one."""
    return find_prefix(header, UNET_PREFIXES, _UNET_MARK)


def vae_prefix(header: Iterable[str]) -> str | None:
    """Where the autoencoder lies in a file, if it has one."""
    return find_prefix(header, VAE_PREFIXES, _VAE_MARK)


def tower_place(header: Iterable[str], tower: TowerRecipe) -> tuple[str, str] | None:
    """Where a text tower lies in a file, as (prefix, layout)."""
    names = set(header)
    return next(((p, form) for p, form in tower.places if p + _TOWER_MARKS[form] in names), None)


def detect(header: Mapping[str, TensorInfo], metadata: Mapping[str, str] | None = None) -> ModelSpec:
    """What model a file with this header holds; raises UnknownModelError that names the nearest miss."""
    metadata = metadata or {}
    prefix = unet_prefix(header)
    if prefix is None:
        raise UnknownModelError(_no_unet(header))
    config = unet_config(below(header, prefix), told(metadata, "unet"))
    family, why = recognise(config)
    prediction = _told_prediction(header, family)
    if prediction == "edm":
        family = replace(family, latent=PLAYGROUND)
    return ModelSpec(
        family, config, _vae(header, metadata), why, prediction=prediction, zero_snr="ztsnr" in header
    )


def _told_prediction(header: Mapping[str, TensorInfo], family: Family) -> str:
    """What the network predicts: markers in the file say it where it is not the family's usual."""
    if family.prediction != "eps":
        return family.prediction
    marks = (({"edm_mean", "edm_std"}, "edm"), ({EDM_HIGHEST}, "edm_v"), ({"v_pred"}, "v"))
    return next((kind for names, kind in marks if names <= header.keys()), "eps")


def recognise(config: UNetConfig) -> tuple[Family, str]:
    """The family of a U-Net and the rule that told it."""
    misses = [(_misses(config, family), family) for family in FAMILIES]
    for missed, family in misses:
        if not missed:
            said = ", ".join(f"{field} {getattr(config, field)}" for field in family.wants)
            return family, f"{family.title}: its U-Net has {said}"
    missed, nearest = min(misses, key=lambda row: len(row[0]))
    raise UnknownModelError(
        f"the U-Net is of no family known here; the nearest is {nearest.title}, but {'; '.join(missed)}"
    )


def _misses(config: UNetConfig, family: Family) -> list[str]:
    return [
        f"{field} is {getattr(config, field)} and would have to be {' or '.join(map(str, values))}"
        for field, values in family.wants.items()
        if getattr(config, field) not in values
    ]


def _vae(header: Mapping[str, TensorInfo], metadata: Mapping[str, str]) -> VaeConfig | None:
    prefix = vae_prefix(header)
    return None if prefix is None else vae_config(_vae_shapes(header, prefix), told(metadata, "vae"))


def _vae_shapes(header: Mapping[str, TensorInfo], prefix: str) -> Shapes:
    return below(header, prefix)


def _no_unet(header: Mapping[str, TensorInfo]) -> str:
    if any("lora" in name.lower() for name in header):
        return "this file is an adapter (LoRA), no model: put it in models/loras and load it with a LoRA node"
    if vae_prefix(header) is not None:
        return "this file holds an autoencoder only: put it in models/vae and load it with a VAE loader"
    if _DIFFUSERS_MARK in header:
        return "this file holds a network in diffusers' names; load the folder that it lies in"
    other = another_model(header)
    if other is not None:
        return f"this file holds no U-Net: by its names it is {other}"
    some = ", ".join(sorted(header)[:3]) or "no tensors at all"
    return f"no U-Net is in this file (no tensor that ends in {_UNET_MARK}); it has {some}"
