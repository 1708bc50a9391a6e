"""Products with weights that are kept narrower than they are computed with.

A part of the weight at a time is widened, always into the same memory, so that no more than that is ever
there beside the narrow form. With few rows the time of a product is that of reading the weight: then the
parts are so small that they stay in the processor's cache. A convolution over a handful of places is such a
product, too, and needs its weights in no other order than the file's.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from noderack_diffusion.allocation import room
from noderack_diffusion.narrow import Scaled, widened

FEW = 64
"""Rows, or places in a picture. With more of them computing takes longer than reading."""
CACHED = 1 << 20
"""Numbers that are widened at a time for few rows: 4 MB of fp32."""
WIDEST = 1 << 22
"""Numbers that are widened at a time otherwise."""
TOGETHER = 1024
"""Outputs that are computed at a time for many rows. With many more, every thread puts the whole weight in
order for itself."""
_MULTIPLE = 32


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x [..., K]`` times the transpose of ``weight [N, ...]`` of K numbers a row, plus ``bias [N]``, in the
    dtype of ``x``.
    """
    rows = x.reshape(-1, x.shape[-1])
    few = rows.shape[0] <= FEW
    whole = weight.dtype == x.dtype and (few or weight.shape[0] <= 2 * TOGETHER or x.dtype != torch.float32)
    if whole or x.device.type != "cpu" or torch.is_grad_enabled():
        return F.linear(x, widened(weight, x.dtype).flatten(1), bias)
    out = rows.new_empty(rows.shape[0], weight.shape[0])
    most = CACHED if few else min(WIDEST, TOGETHER * rows.shape[1])
    for wide, start, stop in by_parts(weight, x.dtype, most):
        if bias is None:
            torch.mm(rows, wide.flatten(1).t(), out=out[:, start:stop])
        else:
            torch.addmm(bias[start:stop], rows, wide.flatten(1).t(), out=out[:, start:stop])
    return out.view(*x.shape[:-1], -1)


def unrolled(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], edge: tuple[int, int]
) -> Tensor:
    """The convolution of ``x [B, C, h, w]`` with ``weight [N, C, k, l]``, as a product."""
    kernel = (weight.shape[2], weight.shape[3])
    height = (x.shape[2] + 2 * edge[0] - kernel[0]) // stride[0] + 1
    seen = F.unfold(x, kernel, padding=edge, stride=stride).transpose(1, 2)
    rows = product(seen, weight, bias)
    found = rows.view(x.shape[0], height, -1, weight.shape[0]).permute(0, 3, 1, 2)
    return found if nhwc(x) else found.contiguous()


def by_parts(weight: Tensor, dtype: torch.dtype, most: int) -> Iterator[tuple[Tensor, int, int]]:
    """``weight [N, ...]`` in ``dtype``, ``most`` numbers at a time, each part good until the next is asked
    for: (rows, first, last).
    """
    parts = -(-weight.numel() // most)
    step = -(-weight.shape[0] // (parts * _MULTIPLE)) * _MULTIPLE
    for start in range(0, weight.shape[0], step):
        rows = weight.data[start : start + step]
        stop = start + rows.shape[0]
        wide = rows if rows.dtype == dtype else room("wide").of(rows.shape, dtype).copy_(rows)
        yield wide.mul_(weight.scale[start:stop]) if isinstance(weight, Scaled) else wide, start, stop


def nhwc(x: Tensor) -> bool:
    """Whether the channels of a picture lie side by side."""
    return x.is_contiguous(memory_format=torch.channels_last)
