"""`comfy.controlnet`: networks that steer by a picture; those of the core, and what packs inherit from."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.control import Control
from noderack_diffusion.control_load import load_controlnet as _load
from noderack_diffusion.control_lora import ControlLora
from noderack_diffusion.patching.controls import (
    ControlBase,
    ControlNet,
    StrengthType,
    as_packs_know,
    broadcast_image_to,
)
from noderack_diffusion.t2i import T2IAdapter

__getattr__ = gap(__name__)
__all__ = [
    "ControlBase",
    "ControlLora",
    "ControlNet",
    "StrengthType",
    "T2IAdapter",
    "broadcast_image_to",
    "load_controlnet",
]


def load_controlnet(ckpt_path: str, model: Any = None, model_options: Any = None) -> Any:
    """A CONTROL_NET from a file, to be set up by the pack; ControlLoRA and adapters as the core has them."""
    found = _load(ckpt_path, model=model)
    return as_packs_know(found) if type(found) is Control else found
