"""How many bytes of tensors a network's forward pass has alive at once, counted without computing it."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Alive(TorchDispatchMode):
    """Counts storages that operations make, from when they are made until nobody holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {id(_storage(t)) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and id(_storage(tensor)) not in given | self._seen:
                self._count(tensor)
        return out

    def _count(self, tensor: Tensor) -> None:
        storage, size = _storage(tensor), tensor.untyped_storage().nbytes()
        self._seen.add(id(storage))
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, id(storage), size)

    def _gone(self, which: int, size: int) -> None:
        self._seen.discard(which)
        self.now -= size


class Flash(TorchFunctionMode):
    """Attention without its matrix of scores, as the kernels that compute have it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return torch.empty_like(args[0])
        return func(*args, **(kwargs or {}))


def _storage(tensor: Tensor) -> Any:
    return tensor.untyped_storage()


def most_alive(run: Any) -> int:
    """Bytes that ``run`` has alive at once at most, of tensors that it makes."""
    with torch.no_grad(), Alive() as alive, Flash():
        run()
    return alive.most
