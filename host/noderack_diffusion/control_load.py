"""ControlNet files, in the original names and in diffusers', -> ``Control`` handles."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch

from noderack_diffusion.checkpoint import Placed, placed
from noderack_diffusion.control import Control, ControlNet, Steering
from noderack_diffusion.control_lora import MARK, ControlLora
from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.folder import depth_at
from noderack_diffusion.merging import weights_of
from noderack_diffusion.model import Model
from noderack_diffusion.names import control_modules
from noderack_diffusion.patch import Patch, PatchSet
from noderack_diffusion.shapes import Shapes, Told, count, told
from noderack_diffusion.store import Store
from noderack_diffusion.t2i import T2IAdapter, adapter_in
from noderack_diffusion.unet import Level, UNetConfig, unet_config
from noderack_diffusion.weights import Piece, pieces_below, shapes

_PREFIXES = ("control_model.", "")
_MARK = "zero_convs.0.0.weight"
_DIFFUSERS_MARK = "controlnet_cond_embedding.conv_in.weight"
_UNION = ("task_embedding", "transformer_layes.", "spatial_ch_projs.", "control_add_embedding.")
_DIFFERENCE = "difference"
_POOLED = ("_shuffle", "_shuffle_fp16")
"""How files are named whose residuals are means over the whole picture; they do not say so otherwise."""


def load_controlnet(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    model: Model | None = None,
) -> Steering:
    """Open a ControlNet, T2I-adapter or ControlLoRA. Raises FileError, or UnknownModelError if it is none.

    ``model`` is what a file of differences was taken from; its weights are added to them.
    """
    store, place = Store.open(path), placed(device, dtype)
    said = told(store.metadata, "unet")
    if MARK in store.header:
        return ControlLora(
            live=place.live(store, lambda: ControlNet(UNetConfig()), {}, "control"), store=store
        )
    found = _native(store, said) or _diffusers(store, said)
    if found is not None:
        return _control(store, place, *found, model)
    adapter = adapter_in(store)
    if adapter is None:
        raise _refusal(store)
    pieces, network, channels = adapter
    return T2IAdapter(live=place.live(store, lambda: deepcopy(network), pieces, "control"), channels=channels)


def _control(
    store: Store, place: Placed, pieces: Mapping[str, Piece], config: UNetConfig, model: Model | None
) -> Control:
    hint, kinds = _known(pieces, "input_hint_block.0.weight", 1), _known(pieces, "task_embedding", 0)
    live = place.live(store, lambda: ControlNet(config, hint, kinds), pieces, "control")
    apart = PatchSet()
    if _DIFFERENCE in store.header and model is not None:
        own = weights_of(model)
        rows = (Patch(n, own[n], f"{model.key}:{n}") for n in pieces if n in own)
        apart = PatchSet(tuple(rows))
    return Control(live=live, pooled=store.path.stem.endswith(_POOLED), patches=apart)


def _known(pieces: Mapping[str, Piece], name: str, axis: int) -> int:
    return pieces[name].dims()[axis] if name in pieces else 0


Found = tuple[Mapping[str, Piece], UNetConfig]


def _refusal(store: Store) -> UnknownModelError:
    some = ", ".join(sorted(store.header)[:3])
    return UnknownModelError(f"{store.path.name} is no ControlNet that is known here; it holds {some}")


def _native(store: Store, said: Told) -> Found | None:
    prefix = next((p for p in _PREFIXES if p + _MARK in store.header), None)
    if prefix is None:
        return None
    pieces = pieces_below(store, prefix)
    return pieces, control_config(shapes(pieces), said)


def control_config(found: Shapes, said: Told | None = None) -> UNetConfig:
    """The U-Net's numbers that a ControlNet's shapes tell; there is no second half, so that stays as the
    first.
    """
    width = found["input_blocks.0.0.weight"][0]
    whole = {**found, "out.2.weight": (4, width, 3, 3)}
    config = unet_config(whole, said)
    levels = tuple(replace(level, up=(0,) * (len(level.down) + 1)) for level in config.levels)
    return replace(config, levels=levels)


def _diffusers(store: Store, said: Told) -> Found | None:
    if _DIFFUSERS_MARK not in store.header:
        return None
    there = store.shapes()
    config = _config_of(there)
    pieces = {
        f"{ours}.{leaf}": Piece(store, f"{theirs}.{leaf}")
        for theirs, ours in control_modules(config)
        for leaf in ("weight", "bias")
        if f"{theirs}.{leaf}" in there
    }
    pieces |= {name: Piece(store, name) for name in there if name.startswith(_UNION)}
    return pieces, control_config(shapes(pieces), said)


def _config_of(there: Shapes) -> UNetConfig:
    """Just enough of the numbers to make the rename table."""
    width = there["conv_in.weight"][0]
    levels = []
    for x in range(count(there, "down_blocks.{}.resnets.0.conv1.weight")):
        blocks = count(there, f"down_blocks.{x}.resnets.{{}}.conv1.weight")
        mult = there[f"down_blocks.{x}.resnets.0.conv1.weight"][0] // width
        depth = tuple(depth_at(there, f"down_blocks.{x}.attentions.{i}") for i in range(blocks))
        levels.append(Level(mult, depth, (0,) * (blocks + 1)))
    adm = there.get("add_embedding.linear_1.weight", (0, 0))[1]
    return UNetConfig(
        width=width, levels=tuple(levels), middle=depth_at(there, "mid_block.attentions.0"), adm=adm
    )
