"""`comfy.ldm.flux.math`: places as rotations."""

from __future__ import annotations

from typing import Any

import torch
from noderack_compat.missing import gap
from torch import Tensor

from comfy.ldm.modules.attention import optimized_attention

__getattr__ = gap(__name__)


def rope(pos: Tensor, dim: int, theta: int) -> Tensor:
    """Places `[..., n]` as rotations `[..., n, dim / 2, 2, 2]`."""
    rates = theta ** -(torch.arange(0, dim, 2, dtype=torch.float64, device=pos.device) / dim)
    angle = pos.to(torch.float64).unsqueeze(-1) * rates
    turned = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=-1)
    return turned.unflatten(-1, (2, 2)).float()


def apply_rope1(x: Tensor, freqs_cis: Tensor) -> Tensor:
    """`x [..., n, d]`, its pairs of numbers turned."""
    pairs = x.to(freqs_cis.dtype).unflatten(-1, (-1, 1, 2))
    turned = freqs_cis[..., 0] * pairs[..., 0] + freqs_cis[..., 1] * pairs[..., 1]
    return turned.reshape(x.shape).type_as(x)


def apply_rope(xq: Tensor, xk: Tensor, freqs_cis: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys, turned."""
    return apply_rope1(xq, freqs_cis), apply_rope1(xk, freqs_cis)


def attention(
    q: Tensor, k: Tensor, v: Tensor, pe: Tensor | None, mask: Any = None, transformer_options: Any = None
) -> Tensor:
    """Attention of `[B, heads, N, D]` between turned queries and keys."""
    if pe is not None:
        q, k = apply_rope(q, k, pe)
    return optimized_attention(q, k, v, q.shape[1], mask, skip_reshape=True)
