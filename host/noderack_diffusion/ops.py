"""The few operations that all networks here share: attention, norms, the time embedding.

Every module is an ordinary ``nn.Module`` with the parameter names of the original checkpoints.
To build one without allocating or initialising weights, build it under ``torch.device("meta")``
and assign the file's tensors.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUP_EPS = 1e-6
RES_EPS = 1e-5
LONG = 256
"""From how many tokens on each head's rows are laid side by side: on a CPU attention is then faster."""


def attention(
    q: Tensor, k: Tensor, v: Tensor, heads: int, *, causal: bool = False, seen: Tensor | None = None
) -> Tensor:
    """Scaled dot-product attention. q ``[B, N, C]``, k and v ``[B, M, C]``, gives ``[B, N, C]``.

    ``seen [B, 1, N, M]`` says what may be looked at; it takes the place of ``causal``.
    """
    batch, length, width = q.shape
    q, k, v = (x.view(batch, -1, heads, width // heads).transpose(1, 2) for x in (q, k, v))
    if q.device.type == "cpu" and k.shape[2] >= LONG:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=causal and seen is None)
    return out.transpose(1, 2).reshape(batch, length, width)


def group_norm(channels: int, groups: int, eps: float = GROUP_EPS) -> nn.GroupNorm:
    """A group norm; ``groups`` must divide ``channels``."""
    return nn.GroupNorm(groups, channels, eps=eps)


def conv3(inner: int, outer: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size (or halves it with ``stride=2``)."""
    return nn.Conv2d(inner, outer, 3, stride=stride, padding=1)


def timestep_embedding(t: Tensor, width: int, period: float = 10000.0) -> Tensor:
    """Sinusoids of the times ``t [B]`` as ``[B, width]`` in fp32: cosines first, then sines."""
    half = width // 2
    index = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * torch.exp(index * (-math.log(period) / half))[None]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
