"""Convolutions on a CPU, each in the way that is fastest for the picture it gets.

The library under torch wants the weights of a convolution in blocks of its own, and puts them so at every
call; for the small pictures deep in a U-Net that takes as long as the convolution. Here it is done once, and
where there are only a few places to compute, not at all. Large pictures go another way (``winograd.py``).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion import winograd
from noderack_diffusion.allocation import to_stay
from noderack_diffusion.narrow import widened
from noderack_diffusion.seen_text import Same
from noderack_diffusion.widening import FEW, WIDEST, by_parts, nhwc, product, unrolled

_DTYPES = (torch.float32, torch.bfloat16)


class PackedConv2d(nn.Conv2d):
    """A convolution that keeps a packed copy of its weight where it wants one; made anew when the weight is
    another. A weight that is kept narrower than the picture is widened when it is used.
    """

    unmap: Callable[[], None] | None = None
    """Lets go of the pages of a weight that lies in a mapped file, as its packed copy is used."""
    _packed: Tensor | None = None
    _of: Same | None = None

    def forward(self, x: Tensor) -> Tensor:
        """As that of any convolution."""
        weight: Tensor = self.weight
        if "_conv_forward" not in self.__dict__ and self._can(x):
            return self._best(x, weight)
        out: Tensor = self._conv_forward(x, widened(weight, x.dtype), self.bias)
        return out

    def with_edge(self, x: Tensor, edge: tuple[int, int]) -> Tensor:
        """The convolution, with other padding."""
        if self._can(x):
            return self._run(x, edge)
        return F.conv2d(x, widened(self.weight, x.dtype), self.bias, self.stride, edge, self.dilation)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if weight is self.weight and bias is self.bias and self._can(input):
            return self._best(input, weight)
        plain: Tensor = super()._conv_forward(input, weight, bias)
        return plain

    def _best(self, x: Tensor, weight: Tensor) -> Tensor:
        edge, stride = (int(self.padding[0]), int(self.padding[1])), (self.stride[0], self.stride[1])
        if self._is_plain() and self.kernel_size == (1, 1) and edge == (0, 0) and nhwc(x):
            rows = product(x.permute(0, 2, 3, 1), weight, self.bias)
            return rows.permute(0, 3, 1, 2)
        few = _places(x) <= FEW * stride[0] * stride[1] and not self._is_packed()
        if few and self.groups == 1 and self.dilation == (1, 1):
            return unrolled(x, weight, self.bias, stride, edge)
        return self._run(x, edge)

    def _run(self, x: Tensor, edge: tuple[int, int]) -> Tensor:
        weight, bias = self.weight, self.bias
        if self._is_plain() and winograd.pays(x, weight, edge):
            return winograd.convolve(x, weight, bias, edge)
        if weight.dtype == x.dtype:
            return self._convolve(x, self.packed(x), bias, edge)
        found = []
        most = WIDEST if self.groups == 1 else weight.numel()
        for wide, start, stop in by_parts(weight, x.dtype, most):
            part = None if bias is None else bias[start:stop]
            found.append(self._convolve(x, self._blocks(wide, x), part, edge))
        return found[0] if len(found) == 1 else torch.cat(found, 1)

    def _convolve(self, x: Tensor, packed: Tensor, bias: Tensor | None, edge: tuple[int, int]) -> Tensor:
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            *(x, packed, bias, list(edge), self.stride, self.dilation, self.groups, "none", [], "")
        )
        return out

    def _blocks(self, weight: Tensor, like: Tensor) -> Tensor:
        edge = [int(n) for n in self.padding]
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            *(weight, edge, self.stride, self.dilation, self.groups, list(like.shape))
        )
        return packed

    def _can(self, x: Tensor) -> bool:
        plain = self.padding_mode == "zeros" and not isinstance(self.padding, str) and x.dim() == 4
        free = not torch.is_grad_enabled() and not self.weight.is_inference()
        return plain and free and x.device.type == "cpu" and x.dtype in _DTYPES

    def _is_plain(self) -> bool:
        return self.groups == 1 and self.dilation == (1, 1) and self.stride == (1, 1)

    def _is_packed(self) -> bool:
        return self._of is not None and self._of(self.weight)

    def packed(self, like: Tensor) -> Tensor:
        """The weight in blocks, for inputs like this one."""
        if self._packed is None or not self._is_packed():
            self._packed = None
            with to_stay():
                self._of, self._packed = Same(self.weight), self._blocks(self.weight.detach(), like)
            if self.unmap is not None:
                self.unmap()
        return self._packed


def unpack(layer: nn.Module) -> None:
    """Give up a packed copy, if there is one."""
    if isinstance(layer, PackedConv2d):
        layer._packed = layer._of = None


def can_pack() -> bool:
    """Whether this torch has the operations."""
    return bool(torch._C._has_mkldnn) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def _places(x: Tensor) -> int:
    return x.shape[0] * x.shape[2] * x.shape[3]
