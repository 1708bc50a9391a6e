"""Self-attention guidance (Hong et al., 2023): away from what the model sees where its own attention blurs.

What the middle of the U-Net attends to tells which places matter; those are blurred in the clean latent, and
what the model makes of that is what guidance leads away from.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_WINDOW = 9


def scores(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """How much each token attends to each other, ``[B, heads, n, m]`` in fp32."""
    query, key = (t.view(*t.shape[:2], heads, -1).transpose(1, 2).float() for t in (q, k))
    return torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, dim=-1)


def degraded(clean: Tensor, attended: Tensor, sigma: float, threshold: float = 1.0) -> Tensor:
    """``clean [B, C, h, w]`` blurred where tokens of ``attended [B, heads, n, n]`` are looked at more than
    ``threshold`` times the mean.
    """
    looked_at = attended.mean(dim=1).sum(dim=1) > threshold
    rows, columns = grid(looked_at.shape[-1], clean.shape[-2], clean.shape[-1])
    mask = looked_at.view(len(looked_at), 1, rows, columns).to(clean.dtype)
    mask = F.interpolate(mask, clean.shape[-2:])
    return blurred(clean, sigma) * mask + clean * (1 - mask)


def grid(tokens: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of that many tokens of a latent: the pair nearest to its proportions."""
    wanted = round(math.sqrt(height / width * tokens))
    for away in range(tokens):
        for rows in (wanted + away, max(1, wanted - away)):
            if tokens % rows == 0:
                return rows, tokens // rows
    return 1, tokens


def blurred(x: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur over nine cells each way, its border mirrored."""
    places = torch.arange(_WINDOW, dtype=torch.float32, device=x.device) - _WINDOW // 2
    line = torch.exp(-0.5 * (places / sigma) ** 2)
    line = (line / line.sum()).to(x.dtype)
    kernel = (line[:, None] * line).expand(x.shape[1], 1, _WINDOW, _WINDOW)
    padded = F.pad(x, [_WINDOW // 2] * 4, mode="reflect")
    return F.conv2d(padded, kernel, groups=x.shape[1])
