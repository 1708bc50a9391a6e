"""Convolutions on a CPU, each in the way that is fastest for the picture it gets.

The library under torch wants the weights of a convolution in blocks of its own, and puts them so at every
call; for the small pictures deep in a U-Net that takes as long as the convolution. Here it is done once, and
where there are only a few places to compute, not at all.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_diffusion.narrow import widened
from noderack_diffusion.seen_text import Same
from noderack_diffusion.widening import FEW, WIDEST, by_parts, nhwc, product, unrolled

_DTYPES = (torch.float32, torch.bfloat16)
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
_HALVES = (torch.tensor([[1, 0, 0], [0, 1, 1]]), torch.tensor([[1, 1, 0], [0, 0, 1]]))
"""Which of three rows of weights fall on one row of pixels, for the upper and the lower half of a pixel."""


class PackedConv2d(nn.Conv2d):
    """A convolution that keeps a packed copy of its weight where it wants one; made anew when the weight is
    another. A weight that is kept narrower than the picture is widened when it is used.
    """

    unmap: Callable[[], None] | None = None
    """Lets go of the pages of a weight that lies in a mapped file, as its packed copy is used."""
    _packed: tuple[Tensor, ...] | None = None
    _of: tuple[Same, bool] | None = None

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
        if self.groups == 1 and self.dilation == (1, 1):
            if self.kernel_size == (1, 1) and (edge, stride) == ((0, 0), (1, 1)) and nhwc(x):
                rows = product(x.permute(0, 2, 3, 1), weight, self.bias)
                return rows.permute(0, 3, 1, 2)
            if _places(x) <= FEW * stride[0] * stride[1] and not self._is_packed(False):
                return unrolled(x, weight, self.bias, stride, edge)
        return self._run(x, edge)

    def _run(self, x: Tensor, edge: tuple[int, int]) -> Tensor:
        weight, bias = self.weight, self.bias
        if weight.dtype == x.dtype:
            return self._convolve(x, self.packed(x)[0], bias, edge)
        found = []
        most = WIDEST if self.groups == 1 else weight.numel()
        for wide, start, stop in by_parts(weight, x.dtype, most):
            part = None if bias is None else bias[start:stop]
            found.append(self._convolve(x, self._blocks(wide, x), part, edge))
        return found[0] if len(found) == 1 else torch.cat(found, 1)

    def can_double(self, x: Tensor) -> bool:
        """Whether ``doubled`` is this convolution after doubling."""
        usual = (self.kernel_size, self.padding, self.stride) == ((3, 3), (1, 1), (1, 1))
        usual = usual and self.groups == 1 and self.dilation == (1, 1)
        hooked = (
            self._forward_hooks or self._forward_pre_hooks or {"forward", "_conv_forward"} & vars(self).keys()
        )
        return usual and not hooked and _places(x) > FEW and self._can(x)

    def doubled(self, x: Tensor) -> Tensor:
        """The convolution over ``x [B, C, h, w]`` at twice its size, where each pixel is there four times:
        3 x 3 weights see only 2 x 2 that differ, so that sums of weights do, with 4/9 of the work.
        """
        batch, _, height, width = x.shape
        out = x.new_empty(batch, 2 * height, 2 * width, self.out_channels).permute(0, 3, 1, 2)
        for corners, bias, start, stop in self._sums(x):
            for packed, (top, left) in zip(corners, _CORNERS, strict=True):
                found = self._convolve(x, packed, bias, (1, 1))
                seen = found[:, :, top : top + height, left : left + width]
                out[:, start:stop, top::2, left::2] = seen
        return out

    def _sums(self, x: Tensor) -> Iterator[tuple[Iterable[Tensor], Tensor | None, int, int]]:
        """Sums of weights in blocks, for each corner: of all channels, or of some at a time if narrow."""
        bias = self.bias
        if self.weight.dtype == x.dtype:
            yield self.packed(x, sums=True), bias, 0, self.out_channels
            return
        for wide, start, stop in by_parts(self.weight, x.dtype, WIDEST // 4):
            part = None if bias is None else bias[start:stop]
            yield (self._blocks(sums, x) for sums in _summed(wide)), part, start, stop

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

    def _is_packed(self, sums: bool) -> bool:
        return self._of is not None and self._of[0](self.weight) and self._of[1] == sums

    def packed(self, like: Tensor, *, sums: bool = False) -> tuple[Tensor, ...]:
        """The weight in blocks, for inputs like this one; or its sums, for one that is doubled."""
        if self._packed is None or not self._is_packed(sums):
            self._of, weight = (Same(self.weight), sums), self.weight.detach()
            self._packed = tuple(self._blocks(w, like) for w in (_summed(weight) if sums else (weight,)))
            if self.unmap is not None:
                self.unmap()
        return self._packed


def over_doubled(conv: nn.Module, x: Tensor) -> Tensor:
    """A convolution over a picture at twice its size, by nearest neighbour."""
    if isinstance(conv, PackedConv2d) and conv.can_double(x):
        return conv.doubled(x)
    out: Tensor = conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
    return out


def unpack(layer: nn.Module) -> None:
    """Give up a packed copy, if there is one."""
    if isinstance(layer, PackedConv2d):
        layer._packed = layer._of = None


def can_pack() -> bool:
    """Whether this torch has the operations."""
    return bool(torch._C._has_mkldnn) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def _places(x: Tensor) -> int:
    return x.shape[0] * x.shape[2] * x.shape[3]


def _summed(weight: Tensor) -> Iterator[Tensor]:
    """For each corner of a pixel that became four, what its 2 x 2 neighbours are multiplied with: weights
    ``[N, C, 3, 3]`` as ``[N, C, 2, 2]``.
    """
    for top, left in _CORNERS:
        sums = torch.kron(_HALVES[top], _HALVES[left]).t().to(weight)
        yield torch.mm(weight.reshape(-1, 9), sums).view(*weight.shape[:2], 2, 2)
