"""ControlNets as packs know them: objects that are set up, chained and asked for residuals.

``ControlBase`` is what networks of packs inherit from. ``ControlNet`` is one whose network is of the core, or
a pack's own: the core's handles become such objects when a pack copies one.
"""

import enum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from noderack_diffusion.control import Control, Steering


class StrengthType(enum.Enum):
    """Whether the outer stages count less."""

    CONSTANT = 1
    LINEAR_UP = 2


def broadcast_image_to(tensor: Any, target_batch_size: int, batched_number: int) -> Any:
    """A batch of pictures for a batch of latents that consists of so many equal parts."""
    if tensor.shape[0] == 1:
        return tensor
    each = target_batch_size // batched_number
    part = tensor[:each]
    if each > part.shape[0]:
        part = torch.cat([part] * (each // part.shape[0]) + [part[: each % part.shape[0]]])
    return part if part.shape[0] == target_batch_size else torch.cat([part] * batched_number)


class ControlBase:
    """What a pack's control network inherits from: the chain of them, the range, the strength."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.cond_hint_original: Any = None
        self.cond_hint: Any = None
        self.strength = 1.0
        self.timestep_percent_range = (0.0, 1.0)
        self.timestep_range: tuple[float, float] | None = None
        self.latent_format: Any = None
        self.vae: Any = None
        self.global_average_pooling = False
        self.compression_ratio = 8
        self.upscale_algorithm = "nearest-exact"
        self.extra_args: dict[str, Any] = {}
        self.previous_controlnet: Any = None
        self.extra_conds: list[str] = []
        self.strength_type = StrengthType.CONSTANT
        self.concat_mask = False
        self.extra_concat_orig: list[Any] = []
        self.extra_concat: Any = None
        self.extra_hooks: Any = None
        self.preprocess_image: Any = lambda picture: picture

    def set_cond_hint(
        self,
        cond_hint: Any,
        strength: float = 1.0,
        timestep_percent_range: tuple[float, float] = (0.0, 1.0),
        vae: Any = None,
        extra_concat: Any = (),
    ) -> "ControlBase":
        """The picture, how strongly, and from when to when."""
        self.cond_hint_original, self.strength = cond_hint, strength
        self.timestep_percent_range, self.extra_concat_orig = timestep_percent_range, list(extra_concat)
        self.vae = vae if self.latent_format is not None else None
        return self

    def pre_run(self, model: Any, percent_to_timestep_function: Any) -> None:
        """A run begins."""
        first, last = self.timestep_percent_range
        self.timestep_range = (percent_to_timestep_function(first), percent_to_timestep_function(last))
        if hasattr(self.previous_controlnet, "pre_run"):
            self.previous_controlnet.pre_run(model, percent_to_timestep_function)

    def set_previous_controlnet(self, controlnet: Any) -> "ControlBase":
        of_core = hasattr(controlnet, "residuals")
        self.previous_controlnet = as_packs_know(controlnet) if of_core else controlnet
        return self

    def cleanup(self) -> None:
        """A run is over."""
        if hasattr(self.previous_controlnet, "cleanup"):
            self.previous_controlnet.cleanup()
        self.cond_hint = self.extra_concat = self.timestep_range = None

    def get_models(self) -> list[Any]:
        before = getattr(self.previous_controlnet, "get_models", None)
        return before() if before else []

    def get_extra_hooks(self) -> list[Any]:
        before = getattr(self.previous_controlnet, "get_extra_hooks", None)
        return [*([self.extra_hooks] if self.extra_hooks else []), *(before() if before else [])]

    def inference_memory_requirements(self, dtype: Any) -> float:
        before = getattr(self.previous_controlnet, "inference_memory_requirements", None)
        return float(before(dtype)) if before else 0.0

    def copy_to(self, c: Any) -> None:
        """Gives another one the same settings."""
        for name in [
            "cond_hint_original",
            "strength",
            "timestep_percent_range",
            "global_average_pooling",
            "compression_ratio",
            "upscale_algorithm",
            "latent_format",
            "extra_args",
            "vae",
            "extra_conds",
            "strength_type",
            "concat_mask",
            "extra_concat_orig",
            "extra_hooks",
            "preprocess_image",
        ]:
            held = getattr(self, name)
            setattr(c, name, held.copy() if isinstance(held, dict | list) else held)

    def control_merge(
        self, control: dict[str, list[Any]], control_prev: Any, output_dtype: Any = None
    ) -> dict[str, list[Any]]:
        """Residuals weighed, and added to those of the control before."""
        found: dict[str, list[Any]] = {"input": [], "middle": [], "output": []}
        for place, rows in control.items():
            for index, row in enumerate(rows):
                found[place].append(self._weighed(row, index, len(rows), output_dtype))
        for place in found if control_prev is not None else ():
            _add(found[place], control_prev.get(place) or [])
        return found

    def _weighed(self, row: Any, index: int, count: int, dtype: Any) -> Any:
        if row is None:
            return None
        if self.global_average_pooling:
            row = torch.mean(row, dim=(2, 3), keepdim=True).expand(row.shape)
        linear = self.strength_type == StrengthType.LINEAR_UP
        row = row * (self.strength ** float(count - index) if linear else self.strength)
        return row if dtype is None else row.to(dtype)


def _add(rows: list[Any], before: list[Any]) -> None:
    for index, row in enumerate(before):
        if index >= len(rows):
            rows.append(row)
        elif rows[index] is None:
            rows[index] = row
        elif row is not None:
            rows[index] = rows[index] + row


class ControlNet(ControlBase):
    """A network that copies half of the one that it steers: called with ``x``, ``hint``, ``timesteps`` and
    ``context``, it gives the residuals by place.
    """

    def __init__(
        self,
        control_model: Any = None,
        global_average_pooling: bool = False,
        compression_ratio: int = 8,
        latent_format: Any = None,
        load_device: Any = None,
        manual_cast_dtype: Any = None,
        extra_conds: Any = ("y",),
        strength_type: StrengthType = StrengthType.CONSTANT,
        concat_mask: bool = False,
        preprocess_image: Any = None,
    ) -> None:
        super().__init__()
        self.control_model = self.control_model_wrapped = control_model
        self.load_device, self.manual_cast_dtype = load_device, manual_cast_dtype
        self.global_average_pooling, self.compression_ratio = global_average_pooling, compression_ratio
        self.latent_format, self.extra_conds = latent_format, list(extra_conds)
        self.strength_type, self.concat_mask = strength_type, concat_mask
        self.preprocess_image = preprocess_image or (lambda picture: picture)
        self.model_sampling_current: Any = None

    def copy(self) -> "ControlNet":
        """Another over the same network."""
        made = ControlNet(self.control_model, load_device=self.load_device)
        made.manual_cast_dtype = self.manual_cast_dtype
        self.copy_to(made)
        return made

    def pre_run(self, model: Any, percent_to_timestep_function: Any) -> None:
        """A run begins: noise is measured as that model has it."""
        super().pre_run(model, percent_to_timestep_function)
        self.model_sampling_current = model.model_sampling

    def cleanup(self) -> None:
        """A run is over."""
        self.model_sampling_current = None
        super().cleanup()

    def get_control(
        self, x_noisy: Tensor, t: Tensor, cond: Any, batched_number: int, transformer_options: Any
    ) -> Any:
        """What to add in the network for the latents ``x_noisy`` at the noise levels ``t``."""
        from noderack_diffusion.control import fit_picture

        before = None
        if self.previous_controlnet is not None:
            asked = (x_noisy, t, cond, batched_number, transformer_options)
            before = self.previous_controlnet.get_control(*asked)
        if self.timestep_range and not self.timestep_range[0] >= t[0] >= self.timestep_range[1]:
            return before
        dtype = self.manual_cast_dtype or self.control_model.dtype
        size = tuple(side * self.compression_ratio for side in x_noisy.shape[-2:])
        if self.cond_hint is None or tuple(self.cond_hint.shape[-2:]) != size:
            fitted = self.preprocess_image(fit_picture(self.cond_hint_original, (size[0], size[1])))
            self.cond_hint = fitted.to(x_noisy.device, dtype)
        hint = broadcast_image_to(self.cond_hint, x_noisy.shape[0], batched_number)
        context = cond.get("crossattn_controlnet")
        extra = {name: cond[name].to(dtype) for name in self.extra_conds if cond.get(name) is not None}
        measured = self.model_sampling_current
        found = self.control_model(
            x=measured.calculate_input(t, x_noisy).to(dtype),
            hint=hint,
            timesteps=measured.timestep(t).float(),
            context=(cond["c_crossattn"] if context is None else context).to(dtype),
            **extra,
            **self.extra_args,
        )
        return self.control_merge(found, before, output_dtype=None)


class Network(nn.Module):
    """A network of the core, called as packs call theirs."""

    def __init__(self, control: "Control") -> None:
        super().__init__()
        self.control = control
        self.dtype: torch.dtype = control.live.dtype

    def forward(
        self,
        x: Tensor,
        hint: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Tensor | None = None,
        control_type: Any = None,
        **_: Any,
    ) -> dict[str, list[Tensor]]:
        """Residuals by place; ``control_type`` numbers the kinds of picture, for networks of several."""
        network, kinds = self.control.network(None), control_type or self.control.kinds
        outs, middle = network(x[:, : network.config.in_channels], hint, timesteps, context, y, tuple(kinds))
        return {"middle": [middle], "output": outs}


def as_packs_know(handle: "Steering") -> "ControlBase":
    """The core's handle as an object that packs set up; raises MismatchError for a kind they cannot."""
    from noderack_diffusion.control import Control
    from noderack_diffusion.errors import MismatchError

    if type(handle) is not Control:
        raise MismatchError(f"packs cannot set up a {type(handle).__name__}: apply it with a built-in node")
    how = StrengthType.LINEAR_UP if handle.rising else StrengthType.CONSTANT
    made = ControlNet(Network(handle), handle.pooled, load_device=handle.live.device, strength_type=how)
    if handle.hint is not None:
        made.set_cond_hint(handle.hint, handle.strength, (handle.start, handle.end))
    if handle.before is not None:
        made.set_previous_controlnet(as_packs_know(handle.before))
    return made
