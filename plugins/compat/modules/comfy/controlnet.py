"""`comfy.controlnet`: networks that steer by a picture; those of the core, and what packs inherit from."""

from __future__ import annotations

import enum
from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.control_load import load_controlnet as _load

__getattr__ = gap(__name__)


class StrengthType(enum.Enum):
    """Whether the outer stages count less."""

    CONSTANT = 1
    LINEAR_UP = 2


def broadcast_image_to(tensor: Any, target_batch_size: int, batched_number: int) -> Any:
    """A batch of pictures for a batch of latents that consists of so many equal parts."""
    import torch

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
    ) -> ControlBase:
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

    def set_previous_controlnet(self, controlnet: Any) -> ControlBase:
        self.previous_controlnet = controlnet
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
        import torch

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


def load_controlnet(ckpt_path: str, model: Any = None, model_options: Any = None) -> Any:
    """A CONTROL_NET from a file."""
    return _load(ckpt_path)
