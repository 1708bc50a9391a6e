"""`comfy.patcher_extension`: the places where packs hook into sampling, and how wrappers are run."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.patching.changes import copied as copy_nested_dicts
from noderack_diffusion.patching.changes import listed, merged
from noderack_diffusion.patching.wrap import Chain as WrapperExecutor

__getattr__ = gap(__name__)
__all__ = ["CallbacksMP", "PatcherInjection", "WrapperExecutor", "WrappersMP", "copy_nested_dicts"]

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

    @classmethod
    def init_wrappers(cls) -> dict[str, Any]:
        return {}


class CallbacksMP:
    """Each name is its own value."""

    @classmethod
    def init_callbacks(cls) -> dict[str, Any]:
        return {}


for _name in _WRAPPERS:
    setattr(WrappersMP, _name.upper(), _name)
for _name in _CALLBACKS:
    setattr(CallbacksMP, _name.upper(), _name)


class PatcherInjection:
    """What is put into a model while it works, and taken out after."""

    def __init__(self, inject: Any, eject: Any) -> None:
        self.inject, self.eject = inject, eject


def merge_nested_dicts(dict1: Any, dict2: Any, copy_dict1: bool = True) -> Any:
    """Both; with `copy_dict1` False into the first."""
    found = merged(dict1, dict2)
    if copy_dict1:
        return found
    dict1.update(found)
    return dict1


def _inside(options: dict[str, Any], is_model_options: bool) -> dict[str, Any]:
    return options.setdefault("transformer_options", {}) if is_model_options else options  # type: ignore[no-any-return]


def _add(table: str, kind: str, key: Any, function: Any, options: dict[str, Any], whole: bool) -> None:
    _inside(options, whole).setdefault(table, {}).setdefault(kind, {}).setdefault(key, []).append(function)


def add_wrapper(
    wrapper_type: str, wrapper: Any, transformer_options: dict[str, Any], is_model_options: bool = False
) -> None:
    _add("wrappers", wrapper_type, None, wrapper, transformer_options, is_model_options)


def add_wrapper_with_key(
    wrapper_type: str,
    key: Any,
    wrapper: Any,
    transformer_options: dict[str, Any],
    is_model_options: bool = False,
) -> None:
    _add("wrappers", wrapper_type, key, wrapper, transformer_options, is_model_options)


def add_callback_with_key(
    call_type: str,
    key: Any,
    callback: Any,
    transformer_options: dict[str, Any],
    is_model_options: bool = False,
) -> None:
    _add("callbacks", call_type, key, callback, transformer_options, is_model_options)


def get_all_wrappers(
    wrapper_type: str, transformer_options: dict[str, Any], is_model_options: bool = False
) -> list[Any]:
    return listed(_inside(transformer_options, is_model_options).get("wrappers", {}), wrapper_type)


def get_wrappers_with_key(
    wrapper_type: str, key: Any, transformer_options: dict[str, Any], is_model_options: bool = False
) -> list[Any]:
    table = _inside(transformer_options, is_model_options).get("wrappers", {})
    return list(table.get(wrapper_type, {}).get(key, ()))


def get_all_callbacks(
    call_type: str, transformer_options: dict[str, Any], is_model_options: bool = False
) -> list[Any]:
    return listed(_inside(transformer_options, is_model_options).get("callbacks", {}), call_type)
