"""`comfy.patcher_extension`: names of the places where packs hook into sampling."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap

__getattr__ = gap(__name__)

_WRAPPERS = [
    "outer_sample",
    "prepare_sampling",
    "sampler_sample",
    "predict_noise",
    "calc_cond_batch",
    "apply_model",
    "diffusion_model",
]
_CALLBACKS = [
    "on_clone",
    "on_load",
    "on_detach",
    "on_cleanup",
    "on_pre_run",
    "on_prepare_state",
    "on_apply_hooks",
    "on_register_all_hook_patches",
    "on_inject_model",
    "on_eject_model",
]


class WrappersMP:
    """Each name is its own value."""


class CallbacksMP:
    """Each name is its own value."""


for _name in _WRAPPERS:
    setattr(WrappersMP, _name.upper(), _name)
for _name in _CALLBACKS:
    setattr(CallbacksMP, _name.upper(), _name)


def add_wrapper_with_key(
    wrapper_type: str, key: Any, wrapper: Any, options: dict[str, Any], is_model_options: bool = False
) -> None:
    table = options.setdefault("transformer_options", {}) if is_model_options else options
    table.setdefault("wrappers", {}).setdefault(wrapper_type, {}).setdefault(key, []).append(wrapper)


def get_all_wrappers(wrapper_type: str, options: dict[str, Any], is_model_options: bool = False) -> list[Any]:
    table = options.get("transformer_options", {}) if is_model_options else options
    return [w for found in table.get("wrappers", {}).get(wrapper_type, {}).values() for w in found]
