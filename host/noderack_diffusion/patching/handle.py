"""What packs do with a handle: make a copy, and put functions, objects and weight changes on it.

A handle that came out of a node is left as it is: packs call ``clone`` and change what they get.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor

from noderack_diffusion.control import Given
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.patching import weights
from noderack_diffusion.patching.changes import Changes, Options, listed, merged
from noderack_diffusion.patching.inner import BaseModel, inner_of
from noderack_diffusion.patching.measure import parametrisation, seen
from noderack_diffusion.patching.places import get_at, replaced

if TYPE_CHECKING:
    from noderack_diffusion.model import Model

Function = Callable[..., Any]
MEASURE = "model_sampling"


class Keeping:
    """Named things that packs keep on any handle, whatever it is a handle of."""

    changes: Changes

    @property
    def model_options(self) -> Options:
        """The options that hold for this handle; packs change the dict itself."""
        return self.changes.options

    @property
    def wrappers(self) -> dict[str, dict[Any, list[Function]]]:
        return self.changes.wrappers

    @property
    def callbacks(self) -> dict[str, dict[Any, list[Function]]]:
        return self.changes.callbacks

    @property
    def object_patches(self) -> dict[str, Any]:
        return self.changes.objects

    @property
    def attachments(self) -> dict[str, Any]:
        return self.changes.attachments

    def add_wrapper(self, wrapper_type: str, wrapper: Function) -> None:
        self.add_wrapper_with_key(wrapper_type, None, wrapper)

    def add_wrapper_with_key(self, wrapper_type: str, key: Any, wrapper: Function) -> None:
        """A function around one of the steps of sampling."""
        self.wrappers.setdefault(wrapper_type, {}).setdefault(key, []).append(wrapper)

    def remove_wrappers_with_key(self, wrapper_type: str, key: Any) -> None:
        self.wrappers.get(wrapper_type, {}).pop(key, None)

    def get_wrappers(self, wrapper_type: str, key: Any) -> list[Function]:
        return self.wrappers.get(wrapper_type, {}).get(key, [])

    def get_all_wrappers(self, wrapper_type: str) -> list[Function]:
        return listed(self.wrappers, wrapper_type)

    def add_callback(self, call_type: str, callback: Function) -> None:
        self.add_callback_with_key(call_type, None, callback)

    def add_callback_with_key(self, call_type: str, key: Any, callback: Function) -> None:
        """A function that hears of a step."""
        self.callbacks.setdefault(call_type, {}).setdefault(key, []).append(callback)

    def remove_callbacks_with_key(self, call_type: str, key: Any) -> None:
        self.callbacks.get(call_type, {}).pop(key, None)

    def get_callbacks(self, call_type: str, key: Any) -> list[Function]:
        return self.callbacks.get(call_type, {}).get(key, [])

    def get_all_callbacks(self, call_type: str) -> list[Function]:
        return listed(self.callbacks, call_type)

    def set_attachments(self, key: str, attachment: Any) -> None:
        self.attachments[key] = attachment

    def remove_attachments(self, key: str) -> None:
        self.attachments.pop(key, None)

    def get_attachment(self, key: str) -> Any:
        return self.attachments.get(key)

    def set_injections(self, key: str, injections: list[Any]) -> None:
        self.changes.injections[key] = injections

    def get_injections(self, key: str) -> list[Any] | None:
        return self.changes.injections.get(key)

    def remove_injections(self, key: str) -> None:
        self.changes.injections.pop(key, None)

    def set_additional_models(self, key: str, models: list[Any]) -> None:
        self.changes.additional[key] = models

    def get_additional_models_with_key(self, key: str) -> list[Any]:
        return self.changes.additional.get(key, [])

    def get_additional_models(self) -> list[Any]:
        return [model for models in self.changes.additional.values() for model in models]

    def remove_additional_models(self, key: str) -> None:
        self.changes.additional.pop(key, None)


class Steering(Keeping):
    """Functions that packs put into the pass of a network and into guidance."""

    def _more(self, name: str, function: Function, always_both: bool = False) -> None:
        options = self.model_options
        options[name] = [*options.get(name, ()), function]
        if always_both:
            self.disable_model_cfg1_optimization()

    def disable_model_cfg1_optimization(self) -> None:
        """The side without the prompt is evaluated at scale 1 too."""
        self.model_options["disable_cfg1_optimization"] = True

    def set_model_sampler_cfg_function(
        self, sampler_cfg_function: Function, disable_cfg1_optimization: bool = False
    ) -> None:
        """The formula of guidance; a function of one parameter is given (cond, uncond, scale)."""
        function = sampler_cfg_function
        if _wants_three(function):
            self.model_options["sampler_cfg_function"] = lambda args: function(
                args["cond"], args["uncond"], args["cond_scale"]
            )
        else:
            self.model_options["sampler_cfg_function"] = function
        if disable_cfg1_optimization:
            self.disable_model_cfg1_optimization()

    def set_model_sampler_post_cfg_function(
        self, post_cfg_function: Function, disable_cfg1_optimization: bool = False
    ) -> None:
        """One more function after guidance."""
        self._more("sampler_post_cfg_function", post_cfg_function, disable_cfg1_optimization)

    def set_model_sampler_pre_cfg_function(
        self, pre_cfg_function: Function, disable_cfg1_optimization: bool = False
    ) -> None:
        """One more function before it."""
        self._more("sampler_pre_cfg_function", pre_cfg_function, disable_cfg1_optimization)

    def set_model_sampler_calc_cond_batch_function(self, sampler_calc_cond_batch_function: Function) -> None:
        """How both sides are evaluated."""
        self.model_options["sampler_calc_cond_batch_function"] = sampler_calc_cond_batch_function

    def set_model_unet_function_wrapper(self, unet_wrapper_function: Function) -> None:
        """A function around each call of the model."""
        self.model_options["model_function_wrapper"] = unet_wrapper_function

    def set_model_denoise_mask_function(self, denoise_mask_function: Function) -> None:
        """How the mask of what is drawn anew changes with the noise."""
        self.model_options["denoise_mask_function"] = denoise_mask_function

    def set_model_patch(self, patch: Function, name: str) -> None:
        """One more function at a named place of the network."""
        inside = self.model_options["transformer_options"]
        inside.setdefault("patches", {}).setdefault(name, []).append(patch)

    def set_model_patch_replace(
        self, patch: Function, name: str, block_name: str, number: int, transformer_index: int | None = None
    ) -> None:
        """A function in place of an attention (``name``) of one stage, or of one block of it."""
        place = (block_name, number) if transformer_index is None else (block_name, number, transformer_index)
        inside = self.model_options["transformer_options"]
        inside.setdefault("patches_replace", {}).setdefault(name, {})[place] = patch

    def set_model_attn1_patch(self, patch: Function) -> None:
        self.set_model_patch(patch, "attn1_patch")

    def set_model_attn2_patch(self, patch: Function) -> None:
        self.set_model_patch(patch, "attn2_patch")

    def set_model_attn1_replace(
        self, patch: Function, block_name: str, number: int, transformer_index: int | None = None
    ) -> None:
        self.set_model_patch_replace(patch, "attn1", block_name, number, transformer_index)

    def set_model_attn2_replace(
        self, patch: Function, block_name: str, number: int, transformer_index: int | None = None
    ) -> None:
        self.set_model_patch_replace(patch, "attn2", block_name, number, transformer_index)

    def set_model_attn1_output_patch(self, patch: Function) -> None:
        self.set_model_patch(patch, "attn1_output_patch")

    def set_model_attn2_output_patch(self, patch: Function) -> None:
        self.set_model_patch(patch, "attn2_output_patch")

    def set_model_input_block_patch(self, patch: Function) -> None:
        self.set_model_patch(patch, "input_block_patch")

    def set_model_input_block_patch_after_skip(self, patch: Function) -> None:
        self.set_model_patch(patch, "input_block_patch_after_skip")

    def set_model_middle_block_after_patch(self, patch: Function) -> None:
        self.set_model_patch(patch, "middle_block_after_patch")

    def set_model_output_block_patch(self, patch: Function) -> None:
        self.set_model_patch(patch, "output_block_patch")

    def set_model_emb_patch(self, patch: Function) -> None:
        self.set_model_patch(patch, "emb_patch")

    def set_model_double_block_patch(self, patch: Function) -> None:
        self.set_model_patch(patch, "double_block")

    def set_model_post_input_patch(self, patch: Function) -> None:
        self.set_model_patch(patch, "post_input")


def _wants_three(function: Function) -> bool:
    import inspect

    try:
        return len(inspect.signature(function).parameters) == 3
    except (TypeError, ValueError):  # a builtin
        return False


class Patchable(Steering):
    """A MODEL as packs change it."""

    wants_sides: ClassVar[bool] = True

    if TYPE_CHECKING:
        live: Any
        param: Any
        patches: PatchSet

    @property
    def model(self) -> BaseModel:
        """The network with all that belongs to it; the same for all handles over these weights."""
        inner = inner_of(self)
        if not inner.working:
            inner.handle = self
        return inner

    @property
    def load_device(self) -> torch.device:
        device: torch.device = self.live.device
        return device

    @property
    def offload_device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def patches_uuid(self) -> str:
        """Names the weights in use."""
        return self._weights().key

    @property
    def size(self) -> int:
        return self.model_size()

    def model_size(self) -> int:
        """Bytes of weights."""
        element = torch.empty((), dtype=self.live.dtype).element_size()
        return sum(element * _product(piece.dims()) for piece in self.live.pieces.values())

    def model_dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.live.dtype
        return dtype

    def memory_required(self, input_shape: Any) -> float:
        return self.model.memory_required(input_shape)

    def clone(self, *_: Any, **__: Any) -> Model:
        """The same, to be changed apart."""
        made: Model = replace(cast("Model", self), changes=self.changes.copy())
        for callback in self.get_all_callbacks("on_clone"):
            callback(self, made)
        return made

    def is_clone(self, other: Any) -> bool:
        """Whether both are over the same weights."""
        return getattr(other, "live", None) is self.live

    def pre_run(self) -> None:
        """A pack's own run begins; whoever listens was told when the handle was set to work."""

    def cleanup(self) -> None:
        """A pack's own run ends; whoever listens is told when the handle is put away."""

    def add_object_patch(self, name: str, obj: Any) -> None:
        """Another object in place of a part of the model, such as ``model_sampling``."""
        self.changes.objects[name] = obj
        if name == MEASURE:
            object.__setattr__(self, "param", parametrisation(obj))

    def get_model_object(self, name: str) -> Any:
        """A part of the model by its dotted name, as this handle has it."""
        if name in self.changes.objects:
            return self.changes.objects[name]
        return seen(self.param) if name == MEASURE else get_at(self.model, name)

    def add_patches(
        self, patches: Mapping[Any, Any], strength_patch: float = 1.0, strength_model: float = 1.0
    ) -> list[Any]:
        """Changes of weights; gives the keys that named a weight of this model."""
        made, used = weights.patches(patches, self.live.pieces, strength_patch, strength_model)
        self.changes.weights |= PatchSet(tuple(made))
        for key in used:
            name, offset = (key, None) if isinstance(key, str) else (key[0], key[1])
            row = (strength_patch, patches[key], strength_model, offset, None)
            self.changes.raw.setdefault(name, []).append(row)
        return used

    def get_key_patches(self, filter_prefix: str | None = None) -> dict[str, list[Any]]:
        """Each weight of the file with the patches that this handle has on it."""
        found = {}
        for name, piece in self.live.pieces.items():
            key = weights.PREFIX + name
            if filter_prefix is None or key.startswith(filter_prefix):
                found[key] = [(piece.read(), lambda value, **_: value), *self.changes.raw.get(key, ())]
        return found

    def model_state_dict(self, filter_prefix: str | None = None) -> dict[str, Any]:
        """Weights by name, as this handle has them."""
        state = self.model.state_dict()
        return {k: v for k, v in state.items() if filter_prefix is None or k.startswith(filter_prefix)}

    def _weights(self) -> PatchSet:
        return self.patches | self.changes.weights if self.changes.weights else self.patches

    def predict_under(
        self,
        options: Options,
        x: Tensor,
        sigma: Tensor,
        context: Tensor,
        *,
        sides: Sequence[int] = (),
        control: Any = None,
        concat: Tensor | None = None,
        places: Any = None,
        control_text: Tensor | None = None,
        **more: Any,
    ) -> Tensor:
        """As ``predict``, with what ``options`` hold put around and into the network."""
        chunks = max(1, len(sides))
        told: Options = merged({}, options.get("transformer_options", {}))
        told.update(cond_or_uncond=list(sides), sigmas=sigma[: len(sigma) // chunks])
        if places is not None:
            kind, gates, rows = places
            patch = gates.patch(rows if kind == "position" else (), x.shape)
            told["patches"] = {**told.get("patches", {}), "middle_patch": [patch]}
        carried = {"c_crossattn": context, "transformer_options": told, **more}
        if concat is not None:
            carried["c_concat"] = concat
        if control_text is not None:
            carried["crossattn_controlnet"] = control_text
        if control is not None:
            carried["control"] = self._control(control, x, sigma, carried, chunks)
        inner, around = self.model, options.get("model_function_wrapper")
        if around is None:
            return inner.apply_model(x, sigma, **carried)
        given = {"input": x, "timestep": sigma, "c": carried, "cond_or_uncond": list(sides)}
        out: Tensor = around(inner.apply_model, given)
        return out

    def _control(self, control: Any, x: Tensor, sigma: Tensor, carried: Options, chunks: int) -> Any:
        """What a control network adds: one of the core's, or one of a pack's."""
        if not hasattr(control, "residuals"):
            return control.get_control(x, sigma, carried, chunks, carried["transformer_options"])
        given = self.param.input(x, sigma)
        told = {"context": carried["c_crossattn"], "y": carried.get("y"), "base": self}
        text = carried.get("crossattn_controlnet")
        found = control.residuals(self.param, given, sigma, **told, text=text)
        return None if found is None else Given(found, control.lives(self))

    @contextmanager
    def at_work(self) -> Iterator[BaseModel]:
        """While this handle samples: its objects in their places, its injections in, its listeners told."""
        inner = inner_of(self)
        before = inner.handle, inner.working
        inner.handle, inner.working = self, True
        injections = [one for group in self.changes.injections.values() for one in group]
        places = {name: value for name, value in self.changes.objects.items() if name != MEASURE}
        try:
            with replaced(inner, places):
                for one in injections:
                    one.inject(self)
                for callback in self.get_all_callbacks("on_pre_run"):
                    callback(self)
                yield inner
        finally:
            for one in injections:
                one.eject(self)
            for callback in self.get_all_callbacks("on_cleanup"):
                callback(self)
            inner.handle, inner.working = before
            self.live.release()


def _product(sizes: Sequence[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total
