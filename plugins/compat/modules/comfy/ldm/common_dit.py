"""`comfy.ldm.common_dit`: what transformers over patches have in common."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from torch import Tensor
from torch.nn import functional as F

__getattr__ = gap(__name__)


def pad_to_patch_size(img: Tensor, patch_size: Any = (2, 2), padding_mode: str = "circular") -> Tensor:
    """A latent whose sides are whole numbers of patches, filled up at their ends."""
    pad: list[int] = []
    for side, patch in zip(img.shape[2:], patch_size, strict=False):
        pad[:0] = [0, -side % patch]
    return F.pad(img, pad, mode=padding_mode)


def rms_norm(x: Tensor, weight: Tensor | None = None, eps: float = 1e-6) -> Tensor:
    """Divided by its root mean square."""
    if weight is None:
        return F.rms_norm(x, (x.shape[-1],), eps=eps)
    return F.rms_norm(x, tuple(weight.shape), weight.to(x), eps)
