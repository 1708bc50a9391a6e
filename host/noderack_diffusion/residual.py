"""OpenCLIP's transformer block, which networks around the U-Net use as well."""

from collections import OrderedDict
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion.ops import attention


class QuickGelu(nn.Module):
    """The approximation that CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Attention of ``[B, n, width]`` to itself, under the names of torch's, in layers that may be kept
    narrower than they compute.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        out: Tensor = self.out_proj(attention(q.contiguous(), k.contiguous(), v.contiguous(), self.heads))
        return out


class ResidualAttention(nn.Module):
    """Attention of ``[B, n, width]`` to itself, then a small network; each with its norm before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        layers: list[tuple[str, nn.Module]] = [
            ("c_fc", nn.Linear(width, width * 4)),
            ("gelu", QuickGelu()),
            ("c_proj", nn.Linear(width * 4, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + cast(Tensor, self.mlp(self.ln_2(x)))
