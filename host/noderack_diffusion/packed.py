"""Convolutions on a CPU whose weights are kept in the order that its kernels want.

The library under torch wants the weights of a convolution in blocks of its own, and puts them so at every
call; for the small pictures deep in a U-Net that takes as long as the convolution. Here it is done once.
"""

import torch
from torch import Tensor, nn

from noderack_diffusion.narrow import widened
from noderack_diffusion.seen_text import Same


class PackedConv2d(nn.Conv2d):
    """A convolution that keeps a packed copy of its weight, made anew when the weight is another."""

    _packed: Tensor | None = None
    _of: Same | None = None

    def forward(self, x: Tensor) -> Tensor:
        """As that of any convolution; a weight that is kept narrower than ``x`` is widened."""
        weight: Tensor = self.weight
        if weight.dtype != x.dtype:
            weight = widened(weight, x.dtype)
            if self._can(x) and "_conv_forward" not in self.__dict__:
                return self._run(x, self._blocks(weight, x), self.bias)
        out: Tensor = self._conv_forward(x, weight, self.bias)
        return out

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if weight is not self.weight or not self._can(input):
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        return self._run(input, self.packed(input), bias)

    def _run(self, x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            *(x, packed, bias, self._edge, self.stride, self.dilation, self.groups, "none", [], "")
        )
        return out

    def _blocks(self, weight: Tensor, like: Tensor) -> Tensor:
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            *(weight, self._edge, self.stride, self.dilation, self.groups, list(like.shape))
        )
        return packed

    @property
    def _edge(self) -> list[int]:
        return [int(n) for n in self.padding]

    def _can(self, x: Tensor) -> bool:
        plain = self.padding_mode == "zeros" and not isinstance(self.padding, str) and x.dim() == 4
        free = not torch.is_grad_enabled() and not self.weight.is_inference()
        return plain and free and x.device.type == "cpu"

    def packed(self, like: Tensor) -> Tensor:
        """The weight in blocks, for inputs like this one."""
        if self._packed is None or self._of is None or not self._of(self.weight):
            self._of = Same(self.weight)
            self._packed = self._blocks(self.weight.detach(), like)
        return self._packed

    def packed_bytes(self) -> int:
        """How much memory the packed copy takes."""
        return 0 if self._packed is None else self.weight.numel() * self.weight.element_size()


def unpack(layer: nn.Module) -> None:
    """Give up a packed copy, if there is one."""
    if isinstance(layer, PackedConv2d):
        layer._packed = layer._of = None


def can_pack() -> bool:
    """Whether this torch has the operations."""
    return bool(torch._C._has_mkldnn) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
