"""`comfy.model_patcher`: handles of models, and options in dicts."""

from __future__ import annotations

import uuid
from abc import ABCMeta
from collections.abc import Callable
from typing import Any

import torch
from noderack_compat.missing import gap
from noderack_diffusion.model import Model
from noderack_diffusion.patching.changes import Changes, copied
from noderack_diffusion.patching.handle import Steering
from noderack_diffusion.patching.places import get_at

from comfy.patcher_extension import PatcherInjection

__getattr__ = gap(__name__)
__all__ = [
    "ModelPatcher",
    "PatcherInjection",
    "create_model_options_clone",
    "set_model_options_patch_replace",
    "set_model_options_post_cfg_function",
    "set_model_options_pre_cfg_function",
]


class ModelPatcher(Steering, metaclass=ABCMeta):
    """A pack's own module with what belongs to it. A MODEL of the core counts as one too."""

    def __init__(
        self,
        model: Any,
        load_device: Any = None,
        offload_device: Any = None,
        size: int = 0,
        weight_inplace_update: bool = False,
    ) -> None:
        self.model, self.size = model, size
        self.load_device, self.offload_device = load_device, offload_device
        self.weight_inplace_update = weight_inplace_update
        self.changes = Changes()
        self.patches: dict[str, list[Any]] = {}
        self.backup: dict[str, Any] = {}
        self.parent: Any = None
        self.patches_uuid = uuid.uuid4()

    def clone(self, *_: Any, **__: Any) -> ModelPatcher:
        made = type(self)(self.model, self.load_device, self.offload_device, self.size)
        made.changes, made.parent = self.changes.copy(), self
        made.patches = {name: list(rows) for name, rows in self.patches.items()}
        for callback in self.get_all_callbacks("on_clone"):
            callback(self, made)
        return made

    def is_clone(self, other: Any) -> bool:
        return getattr(other, "model", None) is self.model

    def model_size(self) -> int:
        if not self.size and isinstance(self.model, torch.nn.Module):
            self.size = sum(t.nelement() * t.element_size() for t in self.model.state_dict().values())
        return self.size

    loaded_size = model_size

    def model_dtype(self) -> Any:
        getter: Callable[[], Any] | None = getattr(self.model, "get_dtype", None)
        return getter() if getter else None

    def model_state_dict(self, filter_prefix: str | None = None) -> dict[str, Any]:
        state = self.model.state_dict()
        return {k: v for k, v in state.items() if filter_prefix is None or k.startswith(filter_prefix)}

    def add_object_patch(self, name: str, obj: Any) -> None:
        self.object_patches[name] = obj

    def get_model_object(self, name: str) -> Any:
        patched = self.object_patches
        return patched[name] if name in patched else get_at(self.model, name)

    def add_patches(
        self, patches: Any, strength_patch: float = 1.0, strength_model: float = 1.0
    ) -> list[Any]:
        """Notes weight changes; a pack that has its own module applies them by itself."""
        state = self.model_state_dict()
        used = [key for key in patches if (key if isinstance(key, str) else key[0]) in state]
        for key in used:
            name, offset = (key, None) if isinstance(key, str) else (key[0], key[1])
            row = (strength_patch, patches[key], strength_model, offset, None)
            self.patches.setdefault(name, []).append(row)
        self.patches_uuid = uuid.uuid4()
        return used

    def patch_model(self, device_to: Any = None, *_: Any, **__: Any) -> Any:
        """Moves the module; gives it."""
        if device_to is not None and isinstance(self.model, torch.nn.Module):
            self.model.to(device_to)
        return self.model

    load = patch_model

    def unpatch_model(self, device_to: Any = None, *_: Any, **__: Any) -> None:
        self.patch_model(device_to)

    def detach(self, unpatch_all: bool = True) -> Any:
        return self.patch_model(self.offload_device)

    def cleanup(self) -> None:
        for callback in self.get_all_callbacks("on_cleanup"):
            callback(self)

    def pre_run(self) -> None:
        for callback in self.get_all_callbacks("on_pre_run"):
            callback(self)

    def memory_required(self, input_shape: Any) -> float:
        return float(self.model.memory_required(input_shape))

    def current_loaded_device(self) -> Any:
        return getattr(self.model, "device", self.load_device)


ModelPatcher.register(Model)
CoreModelPatcher = ModelPatcher


def set_model_options_patch_replace(
    model_options: dict[str, Any],
    patch: Any,
    name: str,
    block_name: str,
    number: int,
    transformer_index: int | None = None,
) -> dict[str, Any]:
    """The options with a function in place of an attention; nested dicts are new, the outer one is not."""
    inside = copied(model_options["transformer_options"])
    place = (block_name, number) if transformer_index is None else (block_name, number, transformer_index)
    inside.setdefault("patches_replace", {}).setdefault(name, {})[place] = patch
    model_options["transformer_options"] = inside
    return model_options


def _after(options: dict[str, Any], name: str, function: Any, always_both: bool) -> dict[str, Any]:
    options[name] = [*options.get(name, ()), function]
    if always_both:
        options["disable_cfg1_optimization"] = True
    return options


def set_model_options_post_cfg_function(
    model_options: dict[str, Any], post_cfg_function: Any, disable_cfg1_optimization: bool = False
) -> dict[str, Any]:
    return _after(model_options, "sampler_post_cfg_function", post_cfg_function, disable_cfg1_optimization)


def set_model_options_pre_cfg_function(
    model_options: dict[str, Any], pre_cfg_function: Any, disable_cfg1_optimization: bool = False
) -> dict[str, Any]:
    return _after(model_options, "sampler_pre_cfg_function", pre_cfg_function, disable_cfg1_optimization)


def create_model_options_clone(orig_model_options: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = copied(orig_model_options)
    return found
