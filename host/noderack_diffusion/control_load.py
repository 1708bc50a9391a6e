"""ControlNet files, in the original names and in diffusers', -> ``Control`` handles."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from noderack_diffusion.control import Control, ControlNet
from noderack_diffusion.devices import pick_device, pick_dtype
from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.folder import depth_at
from noderack_diffusion.names import control_modules
from noderack_diffusion.shapes import Shapes, Told, count, told
from noderack_diffusion.store import Store
from noderack_diffusion.unet import Level, UNetConfig, unet_config
from noderack_diffusion.weights import Live, Piece, pieces_below, shapes

_PREFIXES = ("control_model.", "")
_MARK = "zero_convs.0.0.weight"
_DIFFUSERS_MARK = "controlnet_cond_embedding.conv_in.weight"


def load_controlnet(
    path: str | Path, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Control:
    """Open a ControlNet file. Raises FileError, or UnknownModelError if it is of another kind."""
    store = Store.open(path)
    where = pick_device(device)
    said = told(store.metadata, "unet")
    pieces, config = _native(store, said) or _diffusers(store, said) or _refuse(store)
    live = Live(
        lambda: ControlNet(config),
        pieces,
        key=f"{store.key}:control",
        dtype=pick_dtype(where, dtype),
        device=where,
    )
    return Control(live)


Found = tuple[Mapping[str, Piece], UNetConfig]


def _refuse(store: Store) -> Found:
    some = ", ".join(sorted(store.header)[:3])
    raise UnknownModelError(f"{store.path.name} is no ControlNet that is known here; it holds {some}")


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
