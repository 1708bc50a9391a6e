"""Weights kept in memory in eight bits and widened when they are used: half the memory, less precision.

Matrices and convolutions are kept so; norms and biases, which are small and matter more, are not.
"""

from torch import Tensor, nn

from noderack_diffusion.narrow import widened
from noderack_diffusion.packed import PackedConv2d, can_pack
from noderack_diffusion.widening import product

_TABLES = ("embedding.weight", "label_emb.weight")
"""Ends of names of tables that are looked up and not multiplied with."""


class StoredLinear(nn.Linear):
    """A matrix kept narrower than it is computed with."""

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight, self.bias)


class StoredConv2d(nn.Conv2d):
    """A convolution kept narrower than it is computed with."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._conv_forward(x, widened(self.weight, x.dtype), self.bias)
        return out


def narrows(name: str, weight: Tensor) -> bool:
    """Whether a parameter is one of those that are kept narrower."""
    return weight.dim() >= 2 and name.endswith(".weight") and not name.endswith(_TABLES)


def widen_on_use(network: nn.Module, *, packs: bool = False) -> nn.Module:
    """The network with layers that widen weights which are kept narrower, its other parts as they are.

    ``packs``: convolutions whose weights are not kept narrower keep them packed for the CPU's kernels.
    """
    packed = packs and can_pack()
    swap: dict[type, type] = {nn.Linear: StoredLinear, nn.Conv2d: PackedConv2d if packed else StoredConv2d}
    for module in network.modules():
        module.__class__ = swap.get(type(module), type(module))
    return network
