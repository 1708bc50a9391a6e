"""`comfy.comfy_types.node_typing`: socket types as strings that are also members of an enumeration."""

from __future__ import annotations

from enum import Enum
from typing import Any

from noderack_compat.missing import gap

__getattr__ = gap(__name__)

_SAME = [
    "STRING",
    "IMAGE",
    "MASK",
    "LATENT",
    "BOOLEAN",
    "INT",
    "FLOAT",
    "CONDITIONING",
    "SAMPLER",
    "SIGMAS",
    "GUIDER",
    "NOISE",
    "CLIP",
    "CONTROL_NET",
    "VAE",
    "MODEL",
    "LORA_MODEL",
    "LOSS_MAP",
    "CLIP_VISION",
    "CLIP_VISION_OUTPUT",
    "STYLE_MODEL",
    "GLIGEN",
    "UPSCALE_MODEL",
    "AUDIO",
    "VIDEO",
    "WEBCAM",
    "POINT",
    "FACE_ANALYSIS",
    "BBOX",
    "SEGS",
    "COMBO",
]


class _Type(str, Enum):
    """A wildcard, and a union with a wildcard in it, differs from nothing."""

    def __ne__(self, value: object) -> bool:
        if self == "*" or value == "*":
            return False
        if not isinstance(value, str):
            return True
        return not set(self.split(",")) & set(value.split(","))

    __hash__ = str.__hash__


IO: Any = _Type(  # type: ignore[call-overload]
    "IO",
    [(name, name) for name in _SAME]
    + [("ANY", "*"), ("NUMBER", "FLOAT,INT"), ("PRIMITIVE", "STRING,FLOAT,INT,BOOLEAN")],
)
InputTypeDict = dict[str, Any]
InputTypeOptions = dict[str, Any]
HiddenInputTypeDict = dict[str, Any]


class ComfyNodeABC:
    """The members of a class-contract node, for annotations."""

    DESCRIPTION: str
    CATEGORY: str
    EXPERIMENTAL: bool
    DEPRECATED: bool


class CheckLazyMixin:
    """Asks for every lazy input that is not there yet."""

    def check_lazy_status(self, **kwargs: Any) -> list[str]:
        return [name for name, value in kwargs.items() if value is None]
