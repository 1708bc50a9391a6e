"""`comfy.nested_tensor`: several latents that go through a run together, as a picture and its sound."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
from noderack_compat.missing import gap
from torch import Tensor

__getattr__ = gap(__name__)


class NestedTensor:
    """Tensors of any shapes; what is done to it is done to each."""

    is_nested = True

    def __init__(self, tensors: Iterable[Any]) -> None:
        self.tensors = list(tensors)

    def apply_operation(self, other: Any, operation: Callable[[Any, Any], Any]) -> NestedTensor:
        """With the other's tensors in their order, or with the same value for all."""
        sides = other.tensors if isinstance(other, NestedTensor) else [other] * len(self.tensors)
        return NestedTensor(operation(one, side) for one, side in zip(self.tensors, sides, strict=True))

    def __add__(self, other: Any) -> NestedTensor:
        return self.apply_operation(other, operator.add)

    def __sub__(self, other: Any) -> NestedTensor:
        return self.apply_operation(other, operator.sub)

    def __mul__(self, other: Any) -> NestedTensor:
        return self.apply_operation(other, operator.mul)

    def __truediv__(self, other: Any) -> NestedTensor:
        return self.apply_operation(other, operator.truediv)

    def __getitem__(self, where: Any) -> NestedTensor:
        return NestedTensor(one[where] for one in self.tensors)

    def unbind(self) -> list[Any]:
        return self.tensors

    def to(self, *args: Any, **kwargs: Any) -> NestedTensor:
        return NestedTensor(one.to(*args, **kwargs) for one in self.tensors)

    def float(self) -> NestedTensor:
        return self.to(dtype=torch.float)

    def cpu(self) -> NestedTensor:
        return self.to(device="cpu")

    def chunk(self, *args: Any, **kwargs: Any) -> NestedTensor:
        return NestedTensor(one.chunk(*args, **kwargs) for one in self.tensors)

    def new_ones(self, *args: Any, **kwargs: Any) -> Tensor:
        made: Tensor = self.tensors[0].new_ones(*args, **kwargs)
        return made

    def size(self) -> Any:
        return self.tensors[0].size()

    @property
    def ndim(self) -> int:
        return max((one.ndim for one in self.tensors), default=0)

    def __getattr__(self, name: str) -> Any:
        """Shape, device and dtype are the first one's."""
        if name in ("shape", "device", "dtype", "layout"):
            return getattr(self.tensors[0], name)
        raise AttributeError(name)


def cat_nested(tensors: Any, *args: Any, **kwargs: Any) -> NestedTensor:
    """Joined, each with its likes."""
    columns = zip(*(one.tensors for one in tensors), strict=True)
    return NestedTensor(torch.cat(column, *args, **kwargs) for column in columns)
