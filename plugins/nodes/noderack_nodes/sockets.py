"""How a built-in node says what it takes: short builders for the class contract's input tuples, and `Node`.

The tuples are exactly what `INPUT_TYPES` hands to a host (`("INT", {"default": 20, …})`), so any host that
knows the class contract reads these classes; the builders only keep a node's table to one line a socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    import torch

    Tensor: TypeAlias = torch.Tensor
    """IMAGE is float [B, H, W, C] in 0..1, MASK is float [B, H, W] in 0..1."""

Socket: TypeAlias = tuple[Any, ...]
Inputs: TypeAlias = dict[str, dict[str, Any]]
Latent: TypeAlias = dict[str, Any]
"""A LATENT: "samples" [B, C, h, w] unscaled, and perhaps "noise_mask", "batch_index"."""
Conditioning: TypeAlias = list[list[Any]]
"""A CONDITIONING: [[text tensor [1, tokens, D], options], …]."""

MAX_RESOLUTION = 16384
SEED_MAX = 0xFFFFFFFFFFFFFFFF

IMAGE: Socket = ("IMAGE",)
MASK: Socket = ("MASK",)
LATENT: Socket = ("LATENT",)
MODEL: Socket = ("MODEL",)
CLIP: Socket = ("CLIP",)
VAE: Socket = ("VAE",)
CONDITIONING: Socket = ("CONDITIONING",)
CONTROL_NET: Socket = ("CONTROL_NET",)
SIGMAS: Socket = ("SIGMAS",)


def integer(default: int, low: int, high: int, step: int | None = None, **options: Any) -> Socket:
    """An INT widget; `low` and `high` are checked by the host, the rest is for the editor."""
    stepping = {} if step is None else {"step": step}
    return "INT", {"default": default, "min": low, "max": high, **stepping, **options}


def number(default: float, low: float, high: float, step: float = 0.01, **options: Any) -> Socket:
    """A FLOAT widget."""
    return "FLOAT", {"default": default, "min": low, "max": high, "step": step, **options}


def text(*, multiline: bool = True, **options: Any) -> Socket:
    """A STRING widget."""
    return "STRING", {"multiline": multiline, **options}


def flag(default: bool) -> Socket:
    """A BOOLEAN widget."""
    return "BOOLEAN", {"default": default}


def choice(*choices: str) -> Socket:
    """A combo in the older form: the list of choices is the type."""
    return (list(choices),)


def combo(*choices: str, **options: Any) -> Socket:
    """A combo in the newer form, which the reference declares for nodes of its newer schema."""
    return "COMBO", {"multiselect": False, "options": list(choices), **options}


def seed() -> Socket:
    """A seed that the editor may change after each run."""
    return integer(0, 0, SEED_MAX, control_after_generate=True)


def pixels(default: int, low: int = 0, step: int = 1) -> Socket:
    """A width, height or position in pixels."""
    return integer(default, low, MAX_RESOLUTION, step)


class Node:
    """A built-in node. `INPUTS` is what `INPUT_TYPES` answers, unless a node's choices come from folders."""

    INPUTS: ClassVar[Inputs] = {"required": {}}
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ()
    FUNCTION: ClassVar[str] = "run"
    CATEGORY: ClassVar[str] = "utils"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The sockets in the order an editor draws them."""
        return cls.INPUTS


Mappings: TypeAlias = Mapping[str, type[Any]]
"""Node type → class: a `Node`, or of the newer form (`noderack_host.v3.io.ComfyNode`)."""
