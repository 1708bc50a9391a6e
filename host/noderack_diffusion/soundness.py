"""Whether the tensors of one module's change are whole and sound, before a change is made of them."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from noderack_diffusion.adapters import ALGORITHMS, Algorithm

_MATRICES = frozenset(
    {"up", "down", "mid", "a1", "a2", "b1", "b2"}
    | {name for row in ALGORITHMS for name in row.needs if name.startswith(("hada_", "lokr_"))}
)
_BESIDE = frozenset({"alpha", "dora", "magnitude", "reshape", "rescale", "mid", "weight", "on_input"})
"""Roles that make no change alone."""
_CORES = frozenset({"hada_t1", "hada_t2", "lokr_t2"})
_FACTORS: Mapping[str, tuple[str, ...]] = {
    "lora": ("up", "down", "mid"),
    "loha": ("hada_",),
    "lokr": ("lokr_",),
}
"""How the roles begin of tensors whose product an algorithm's change is."""


def algorithms(parts: Mapping[str, Tensor]) -> list[Algorithm]:
    """The rows of the table that these tensors make, each kind of change once."""
    found: dict[tuple[str, bool], Algorithm] = {}
    for row in ALGORITHMS:
        if all(name in parts for name in row.needs):
            found.setdefault((row.name, row.on_bias), row)
    return list(found.values())


def makes_nothing(parts: Mapping[str, Tensor]) -> bool:
    """Whether there is nothing among them that could be part of a change."""
    return _BESIDE.issuperset(parts)


def totals(parts: Mapping[str, Tensor]) -> dict[str, float]:
    """The sum of each tensor's absolute values: 0 if it is all zero, and no number if one in it is none."""
    return {role: _total(tensor) for role, tensor in parts.items() if tensor.numel()}


def _total(tensor: Tensor) -> float:
    if tensor.element_size() == 1 or not tensor.is_floating_point():
        tensor = tensor.float()
    wide = torch.promote_types(tensor.dtype, torch.float32)
    return float(torch.linalg.vector_norm(tensor.flatten(), 1, dtype=wide))


def flaw(parts: Mapping[str, Tensor], rows: Iterable[Algorithm], sums: Mapping[str, float]) -> str | None:
    """What is wrong with the tensors of a stem, whatever the weight that they are for."""
    used = {name for row in rows for name in row.needs}
    alone = sorted(parts.keys() - used - _BESIDE - _CORES)
    if alone:
        return f"it holds {' and '.join(alone)} without what belongs to it; the file is incomplete"
    alpha = parts.get("alpha")
    if alpha is not None and (alpha.numel() != 1 or not math.isfinite(float(alpha))):
        return f"its alpha is {alpha.float().tolist()}, which is no number"
    turns = parts.get("oft_blocks")
    if turns is not None and (turns.dim() not in (3, 4) or not turns.numel()):
        return f"its oft_blocks are {list(turns.shape)}, which are no blocks"
    for role, tensor in parts.items():
        if role in _MATRICES and (tensor.dim() < 2 or not tensor.numel()):
            return f"its {role} is {list(tensor.shape)}, which is no matrix"
        if not math.isfinite(sums.get(role, 0.0)):
            return f"its {role} holds values that are no numbers; the file is broken"
    return None


def is_zero(row: Algorithm, sums: Mapping[str, float]) -> bool:
    """Whether a change is none, because it, or a factor of it, is all zero."""
    if row.name in ("diff", "norm"):
        return sums[row.needs[0]] == 0
    factors = _FACTORS.get(row.name)
    if factors is None:
        return False
    scaled = sums.get("alpha") == 0 and not {"lokr_w1", "lokr_w2"} <= sums.keys()
    return scaled or any(total == 0 for role, total in sums.items() if role.startswith(factors))
