"""`comfy.model_detection`: what a model is, read off the names and shapes of its weights."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.detect import recognise, unet_prefix
from noderack_diffusion.patching.inner import CONFIGS, Config
from noderack_diffusion.spec import FAMILIES, ModelSpec
from noderack_diffusion.unet import unet_config

__getattr__ = gap(__name__)


def count_blocks(state_dict_keys: Any, prefix_string: str) -> int:
    """How many blocks there are below a name such as `down_blocks.{}.`, from 0 on."""
    count = 0
    while any(key.startswith(prefix_string.format(count)) for key in state_dict_keys):
        count += 1
    return count


def unet_prefix_from_state_dict(state_dict: Any) -> str:
    """What stands before the names of the network's weights."""
    found = unet_prefix(state_dict)
    return "model." if found is None else found


def model_config_from_unet(
    state_dict: Any, unet_key_prefix: str, use_base_if_no_match: bool = False, metadata: Any = None
) -> Config | None:
    """The kind of model of these weights; None for one that is not known here."""
    from noderack_diffusion.errors import UnknownModelError

    shapes = {
        name.removeprefix(unet_key_prefix): tuple(value.shape)
        for name, value in state_dict.items()
        if name.startswith(unet_key_prefix)
    }
    try:
        config = unet_config(shapes)
        family, reason = recognise(config)
    except UnknownModelError:
        if not use_base_if_no_match:
            return None
        family, reason, config = FAMILIES[-1], "a network like Stable Diffusion's", unet_config(shapes)
    spec = ModelSpec(family, config, None, reason)
    return CONFIGS.get(family.name, Config)(spec)


def convert_config(unet_config: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a network; they have one form here."""
    return dict(unet_config)


__all__ = ["convert_config", "count_blocks", "model_config_from_unet", "unet_prefix_from_state_dict"]
