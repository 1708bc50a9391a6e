"""`comfy_extras.nodes_post_processing`: pictures blended, blurred, sharpened."""

from __future__ import annotations

from typing import Any

import torch
from noderack_compat.missing import gap

__getattr__ = gap(__name__)


def gaussian_kernel(kernel_size: int, sigma: float, device: Any = None, dtype: Any = torch.float32) -> Any:
    """[kernel_size, kernel_size], its sum 1; `sigma` is measured in half widths."""
    line = torch.exp(-(torch.linspace(-1, 1, kernel_size, device=device) ** 2) / (2.0 * sigma * sigma))
    return torch.outer(line, line).div(line.sum() ** 2).to(dtype)
