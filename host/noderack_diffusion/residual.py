"""OpenCLIP's transformer block, which networks around the U-Net use as well."""

from collections import OrderedDict
from typing import cast

import torch
from torch import Tensor, nn


class QuickGelu(nn.Module):
    """The approximation that CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class ResidualAttention(nn.Module):
    """Attention of ``[B, n, width]`` to itself, then a small network; each with its norm before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        layers: list[tuple[str, nn.Module]] = [
            ("c_fc", nn.Linear(width, width * 4)),
            ("gelu", QuickGelu()),
            ("c_proj", nn.Linear(width * 4, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.ln_1(x)
        x = x + self.attn(seen, seen, seen, need_weights=False)[0]
        return x + cast(Tensor, self.mlp(self.ln_2(x)))
