"""`comfy.conds`: what a conditioning entry gives the network."""

from __future__ import annotations

from typing import Any

import torch
from noderack_compat.missing import gap
from noderack_diffusion.patching.conds import Carried as CONDRegular
from noderack_diffusion.patching.conds import CarriedPlace as CONDNoiseShape
from noderack_diffusion.patching.conds import CarriedText as CONDCrossAttn

__getattr__ = gap(__name__)
__all__ = ["CONDConstant", "CONDCrossAttn", "CONDList", "CONDNoiseShape", "CONDRegular"]


class CONDConstant(CONDRegular):
    """The same value for all."""

    def process_cond(self, batch_size: int, **_: Any) -> CONDRegular:
        return self._copy_with(self.cond)

    def can_concat(self, other: CONDRegular) -> bool:
        return bool(self.cond == other.cond)

    def concat(self, others: Any) -> Any:
        return self.cond

    def size(self) -> list[int]:
        return [1]


class CONDList(CONDRegular):
    """Several tensors."""

    def process_cond(self, batch_size: int, **_: Any) -> CONDRegular:
        return self._copy_with([CONDRegular(one).process_cond(batch_size).cond for one in self.cond])

    def can_concat(self, other: CONDRegular) -> bool:
        pairs = zip(self.cond, other.cond, strict=False)
        return len(self.cond) == len(other.cond) and all(a.shape == b.shape for a, b in pairs)

    def concat(self, others: Any) -> Any:
        rows = [self.cond, *(other.cond for other in others)]
        return [torch.cat(column) for column in zip(*rows, strict=True)]

    def size(self) -> list[int]:
        return [1, 1, sum(one.numel() for one in self.cond)]
