"""`comfy_extras.nodes_sag`: self-attention guidance, and its parts that packs use."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.sag import degraded

__getattr__ = gap(__name__)


def gaussian_blur_2d(img: Any, kernel_size: int, sigma: float) -> Any:
    """Blurred [B, C, H, W], its border mirrored."""
    import torch
    from torch.nn import functional as F

    places = torch.linspace(-(kernel_size - 1) / 2, (kernel_size - 1) / 2, kernel_size)
    line = torch.exp(-0.5 * (places / sigma) ** 2)
    line = (line / line.sum()).to(img)
    kernel = torch.outer(line, line).expand(img.shape[-3], 1, kernel_size, kernel_size)
    padded = F.pad(img, [kernel_size // 2] * 4, mode="reflect")
    return F.conv2d(padded, kernel, groups=img.shape[-3])


def create_blur_map(x0: Any, attn: Any, sigma: float = 3.0, threshold: float = 1.0) -> Any:
    """The clean latent, blurred where the middle of the network looks."""
    heads = attn.shape[0] // x0.shape[0]
    return degraded(x0, attn.unflatten(0, (x0.shape[0], heads)), sigma, threshold)
