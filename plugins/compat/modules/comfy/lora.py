"""`comfy.lora`: weight changes of a LoRA's tensors, by the names of a model's weights."""

from __future__ import annotations

from typing import Any

import torch
from noderack_compat.missing import gap
from noderack_diffusion.adapters import ALGORITHMS
from noderack_diffusion.lora import aliases_of, group
from noderack_diffusion.patch import apply
from noderack_diffusion.patching.weights import PREFIX, patches

__getattr__ = gap(__name__)


def load_lora(lora: dict[str, Any], to_load: dict[str, Any], log_missing: bool = True) -> dict[Any, Any]:
    """What each module's tensors mean: weight's name → change, for those that `to_load` knows."""
    found = {}
    for stem, parts in group(lora).items():
        target = to_load.get(stem)
        for row in ALGORITHMS if target is not None else ():
            if all(name in parts for name in row.needs):
                key = target
                if row.on_bias and isinstance(key, str):
                    key = key.removesuffix("weight") + "bias"
                found[key] = row.build(parts, True)
    return found


def model_lora_keys_unet(model: Any, key_map: dict[str, Any] | None = None) -> dict[str, Any]:
    """Every spelling of the network's modules in LoRA files, with the weight's name here."""
    found = {} if key_map is None else key_map
    found.update({alias: PREFIX + name for alias, name in aliases_of(model.handle).items()})
    return found


def model_lora_keys_clip(model: Any, key_map: dict[str, Any] | None = None) -> dict[str, Any]:
    """The same for text encoders."""
    found = {} if key_map is None else key_map
    found.update(aliases_of(getattr(model, "handle", model)))
    return found


def calculate_weight(
    patches_: Any, weight: torch.Tensor, key: str, intermediate_dtype: Any = torch.float32, **_: Any
) -> torch.Tensor:
    """A weight with the changes of a handle's list on it."""
    rows = []
    for strength, value, base, offset, _function in patches_:
        name = key if offset is None else (key, offset)
        made, _used = patches({name: value}, {key.removeprefix(PREFIX): None}, strength, base)
        rows += made
    return apply(weight, rows).to(weight.dtype)
