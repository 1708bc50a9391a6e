"""Adapters beside a layer instead of in its weights: ``layer(x) + strength * up(down(x))``.

For weights that are kept in few bits: merged into them a small change would be rounded away, and here it is
not rounded at all. What is no product of two small matrices is added as the whole difference that it makes.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from noderack_diffusion.adapters import Lora
from noderack_diffusion.patch import Patch, apply

Branch = Callable[[Tensor], Tensor]


def attach(layer: nn.Module, patches: Sequence[Patch], weight: Callable[[], Tensor]) -> RemovableHandle:
    """Puts patches beside a Linear or Conv2d; the handle takes them off. ``weight`` is asked for the layer's
    weight only where a patch needs to know it.
    """
    small = [patch for patch in patches if _is_small(patch)]
    others = [patch for patch in patches if not _is_small(patch)]
    branches = [_product(layer, patch) for patch in small]
    if others:
        branches.append(_difference(layer, others, weight()))

    def add(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        for branch in branches:
            out = out + branch(given[0])
        return out

    return layer.register_forward_hook(add)


def can_take(layer: nn.Module) -> bool:
    """Whether patches can be put beside a layer of this kind."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)


def _is_small(patch: Patch) -> bool:
    delta = patch.delta
    plain = type(delta) is Lora and delta.dora is None and "reshape" not in delta.parts
    return plain and patch.part is None and patch.base == 1.0


def _product(layer: nn.Module, patch: Patch) -> Branch:
    delta = cast(Lora, patch.delta)
    factor = patch.strength * delta.scale
    down, mid, up = (delta.parts.get(name) for name in ("down", "mid", "up"))
    assert down is not None and up is not None
    if isinstance(layer, nn.Linear):
        narrow, wide = _kept(down.flatten(1)), _kept(up.flatten(1) * factor)
        return lambda x: F.linear(F.linear(x, narrow(x)), wide(x))
    conv = cast(nn.Conv2d, layer)
    wide = _kept(up.flatten(1)[..., None, None] * factor)
    if mid is not None:
        first, core = _kept(down.flatten(1)[..., None, None]), _kept(mid)
        return lambda x: F.conv2d(_like(conv, F.conv2d(x, first(x)), core(x)), wide(x))
    narrow = _kept(down.reshape(down.shape[0], -1, *conv.kernel_size))
    return lambda x: F.conv2d(_like(conv, x, narrow(x)), wide(x))


def _difference(layer: nn.Module, patches: Iterable[Patch], weight: Tensor) -> Branch:
    change = _kept(apply(weight, patches) - weight.float())
    if isinstance(layer, nn.Linear):
        return lambda x: F.linear(x, change(x))
    return lambda x: _like(cast(nn.Conv2d, layer), x, change(x))


def _like(layer: nn.Conv2d, x: Tensor, weight: Tensor) -> Tensor:
    """A convolution as the layer's, with another weight."""
    padding = cast("tuple[int, int]", layer.padding)
    return F.conv2d(x, weight, None, layer.stride, padding, layer.dilation)


def _kept(tensor: Tensor) -> Callable[[Tensor], Tensor]:
    """The tensor as it fits another one, made once."""
    made: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def fitting(like: Tensor) -> Tensor:
        key = like.dtype, like.device
        if key not in made:
            made[key] = tensor.to(like.device, like.dtype)
        return made[key]

    return fitting
