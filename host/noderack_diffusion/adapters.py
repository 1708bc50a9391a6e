"""What each adapter algorithm does to a weight.

Each class is one algorithm: it holds the tensors of one stem of a file and gives the merged weight. All
maths is fp32. ``ALGORITHMS`` at the end is the table that says which tensors make which algorithm.

The default is the mathematically right form. ``compat="comfy"`` repeats what the host that most workflows
were made with does where that differs: DoRA on the output axis divides by the norm of the *unpatched*
weight, OFT and BOFT apply the strength twice, OFT forgets its rescale and is bound by alpha, where trainers
had alpha times the rows.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from noderack_diffusion.patch import Delta

Parts = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Additive(ABC):
    """Algorithms whose change is ``scale * D``, perhaps under DoRA's magnitude."""

    parts: Parts
    scale: float
    dora: Tensor | None = None
    compat: bool = False

    @abstractmethod
    def delta(self, weight: Tensor) -> Tensor:
        """D, with as many elements as ``weight``."""

    def extent(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """D's shape for a weight of ``shape``, found on tensors without content; None if there is no D."""
        light = {role: part.to("meta") for role, part in self.parts.items()}
        try:
            change = replace(self, parts=light).delta(torch.empty(shape, device="meta"))
        except (RuntimeError, ValueError, IndexError):
            return None
        return tuple(change.shape)

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why this cannot change a weight of ``shape``."""
        weight = f"the weight {list(shape)}"
        if "reshape" in self.parts:
            target = tuple(int(n) for n in self.parts["reshape"].flatten().tolist())
            if len(target) != len(shape) or any(n < m for n, m in zip(target, shape, strict=True)):
                return f"it makes a weight {list(target)}, which {weight} cannot grow to"
            shape = target
        change = self.extent(shape)
        if change is None or change[0] != shape[0] or math.prod(change) != math.prod(shape):
            factors = ", ".join(
                f"{role} {list(part.shape)}"
                for role, part in self.parts.items()
                if role not in ("alpha", "dora", "magnitude", "reshape")
            )
            return f"{factors} make no change for {weight}"
        if self.dora is not None and not _measures(self.dora, shape):
            return f"DoRA's magnitudes {list(self.dora.shape)} are neither rows nor columns of {weight}"
        return None

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """The weight with the change applied with ``strength``."""
        target = self.parts.get("reshape")
        if target is not None:
            weight = padded(weight, tuple(int(n) for n in target.tolist()))
        change = self.delta(weight).reshape(weight.shape)
        if self.dora is None:
            return weight.add_(change, alpha=strength * self.scale)
        return decomposed(weight, change * self.scale, self.dora.float(), strength, compat=self.compat)


def _measures(magnitude: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether there is one magnitude for each row of a weight, or for each input."""
    count, dims = magnitude.numel(), magnitude.dim()
    by_row = dims > 0 and magnitude.shape[0] == shape[0] == count
    return by_row or (dims > 1 and len(shape) > 1 and magnitude.shape[0] == 1 and count == shape[1])


def padded(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The weight in the lower corner of a larger one of zeros."""
    grow = [n - m for n, m in zip(shape, weight.shape, strict=True)]
    return F.pad(weight, [n for pair in ((0, g) for g in reversed(grow)) for n in pair])


def decomposed(weight: Tensor, change: Tensor, magnitude: Tensor, strength: float, *, compat: bool) -> Tensor:
    """DoRA: the direction of ``weight + change`` with the given magnitude; linear in ``strength``."""
    whole = weight + change
    rows = weight.shape[0]
    if magnitude.shape[0] == rows:
        magnitude = magnitude.view(rows, *[1] * (weight.dim() - 1))
        measured = weight if compat else whole
        norm = measured.flatten(1).norm(dim=1).view(rows, *[1] * (weight.dim() - 1))
    else:
        by_input = 1, -1, *[1] * (weight.dim() - 2)
        magnitude = magnitude.reshape(by_input)
        norm = whole.transpose(0, 1).flatten(1).norm(dim=1).view(by_input)
    moved: Tensor = whole * (magnitude / (norm + torch.finfo(torch.float32).eps))
    return moved if strength == 1.0 else weight + strength * (moved - weight)


class Lora(Additive):
    """LoRA and LoCon: ``up @ down``, with a core between them in the Tucker form."""

    def extent(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Rows of ``up`` by columns of ``down``, if both have the same rank."""
        up, down = self.parts["up"], self.parts["down"]
        if "mid" in self.parts:
            return super().extent(shape)
        same = math.prod(up.shape[1:]) == down.shape[0]
        return (up.shape[0], math.prod(down.shape[1:])) if same else None

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """In one pass where there is neither a core nor a magnitude nor another shape."""
        if self.dora is not None or "mid" in self.parts or "reshape" in self.parts:
            return super().merged(weight, strength)
        up, down = self.parts["up"].float().flatten(1), self.parts["down"].float().flatten(1)
        rows = weight.view(up.shape[0], down.shape[1])
        rows.addmm_(up, down, alpha=strength * self.scale)
        return weight

    def delta(self, weight: Tensor) -> Tensor:
        up, down, mid = self.parts["up"].float(), self.parts["down"].float(), self.parts.get("mid")
        if mid is not None:
            return torch.einsum("om,mnkl,ni->oikl", up.flatten(1), mid.float(), down.flatten(1))
        return up.flatten(1) @ down.flatten(1)


class Loha(Additive):
    """LoHa: the elementwise product of two low-rank matrices."""

    def delta(self, weight: Tensor) -> Tensor:
        return self._factor("1") * self._factor("2")

    def _factor(self, n: str) -> Tensor:
        a, b, core = (self.parts.get(f"hada_{k}") for k in (f"w{n}_a", f"w{n}_b", f"t{n}"))
        assert a is not None and b is not None
        if core is None:
            return a.float() @ b.float()
        return torch.einsum("ijkl,jr,ip->prkl", core.float(), b.float(), a.float())


class Lokr(Additive):
    """LoKr: the Kronecker product of two factors, each whole or of low rank."""

    def delta(self, weight: Tensor) -> Tensor:
        one, two = self._factor("1"), self._factor("2")
        one = one.reshape(*one.shape, *[1] * (two.dim() - one.dim()))
        return torch.kron(one.contiguous(), two.contiguous())

    def _factor(self, n: str) -> Tensor:
        whole, core = self.parts.get(f"lokr_w{n}"), self.parts.get("lokr_t2")
        if whole is not None:
            return whole.float()
        a, b = self.parts[f"lokr_w{n}_a"].float(), self.parts[f"lokr_w{n}_b"].float()
        if n == "2" and core is not None:
            return torch.einsum("ijkl,jr,ip->prkl", core.float(), b, a)
        return (a @ b.flatten(1)).reshape(a.shape[0], *b.shape[1:])


class Glora(Additive):
    """GLoRA: a low-rank change and one that multiplies the weight."""

    def delta(self, weight: Tensor) -> Tensor:
        a1, a2, b1, b2 = (self.parts[k].float().flatten(1) for k in ("a1", "a2", "b1", "b2"))
        if glora_is_old(a1, a2, b1, b2):
            own = (weight.flatten(1) @ a2) @ a1 if weight.dim() == 2 else _mixed(weight, a2 @ a1)
            return (b2 @ b1).reshape(weight.shape) + own
        own = (weight @ a1) @ a2 if weight.dim() == 2 else _mixed(weight, a1 @ a2)
        return (b1 @ b2).reshape(weight.shape) + own


def glora_is_old(a1: Tensor, a2: Tensor, b1: Tensor, b2: Tensor) -> bool:
    """Whether the factors are stored the way the first version did; where both fit, that one wins."""
    rank = a1.shape[0]
    return b1.shape[0] == rank and a2.shape[1] == rank and b2.shape[1] == rank


def _mixed(weight: Tensor, inputs: Tensor) -> Tensor:
    return torch.einsum("oi...,ij->oj...", weight, inputs)


def _rotations(blocks: Tensor, bound: float) -> Tensor:
    """Cayley: the rotations that skew matrices made of ``blocks [..., b, b]`` stand for."""
    skew = blocks.float() - blocks.float().transpose(-1, -2)
    if bound > 0:
        norm = skew.norm() + 1e-8
        skew = skew * (bound / norm) if norm > bound else skew
    one = torch.eye(skew.shape[-1])
    return (one + skew) @ (one - skew).inverse()


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """OFT and BOFT: the weight's rows turned in blocks; ``bound`` limits how far."""

    blocks: Tensor
    rescale: Tensor | None
    bound: float
    compat: bool = False

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why this cannot turn a weight of ``shape``."""
        found, rows = list(self.blocks.shape), shape[0]
        if found[-1] != found[-2] or found[-3] * found[-1] != rows:
            return f"its blocks {found} do not turn the {rows} rows of the weight {list(shape)}"
        if len(found) == 4 and (found[-1] % 2 or rows % (2 ** (found[0] - 1) * found[-1])):
            return f"{found[0]} stages of its blocks {found} are too many for {rows} rows"
        if self.rescale is not None and self.rescale.numel() != rows:
            return f"it scales {self.rescale.numel()} rows, the weight {list(shape)} has {rows}"
        return None

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """The weight, turned with ``strength``."""
        turns = _rotations(self.blocks, self.bound)
        inner = strength if self.compat else 1.0
        if self.blocks.dim() == 4:
            turned = self._butterfly(weight, turns, inner)
        else:
            turned = self._blocks(weight, turns, inner)
        return weight + strength * (turned - weight)

    def _blocks(self, weight: Tensor, turns: Tensor, inner: float) -> Tensor:
        rows = weight.view(turns.shape[0], turns.shape[1], *weight.shape[1:])
        steps = (turns - torch.eye(turns.shape[-1])) * inner
        turned = weight + torch.einsum("knm,kn...->km...", steps, rows).reshape(weight.shape)
        return turned if self.rescale is None or self.compat else turned * _by_row(self.rescale, turned)

    def _butterfly(self, weight: Tensor, turns: Tensor, inner: float) -> Tensor:
        size, out = turns.shape[-1], weight
        one = torch.eye(size)
        for i, stage in enumerate(turns):
            k = 2**i * (size // 2)
            rows = (
                out.reshape(-1, 2, k, *weight.shape[1:]).transpose(1, 2).reshape(-1, size, *weight.shape[1:])
            )
            rows = torch.einsum("bij,bj...->bi...", stage * inner + (1.0 - inner) * one, rows)
            out = rows.reshape(-1, k, 2, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)
        return out if self.rescale is None else out * _by_row(self.rescale, out)


def _by_row(factors: Tensor, weight: Tensor) -> Tensor:
    return factors.float().view(-1, *[1] * (weight.dim() - 1))


@dataclass(frozen=True, slots=True, eq=False)
class Added:
    """A full difference."""

    value: Tensor

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why this cannot be added to a weight of ``shape``."""
        same = tuple(self.value.shape) == shape
        return None if same else f"the difference is {list(self.value.shape)}, the weight {list(shape)}"

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """The weight plus the difference."""
        return weight + strength * self.value.float()


@dataclass(frozen=True, slots=True, eq=False)
class Replaced:
    """Another weight, whatever the strength."""

    value: Tensor

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why this cannot take the place of a weight of ``shape``."""
        same = tuple(self.value.shape) == shape
        return None if same else f"the other weight is {list(self.value.shape)}, the weight {list(shape)}"

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """That weight."""
        return self.value.float().clone()


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """(IA)^3: a factor per input or output channel."""

    value: Tensor
    on_input: bool

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why this cannot scale a weight of ``shape``."""
        axis = 1 if self.on_input else 0
        fits = axis < len(shape) and self.value.numel() == shape[axis]
        return None if fits else f"{self.value.numel()} factors, the weight {list(shape)}"

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """The weight with its channels scaled."""
        flat = self.value.float().flatten()
        rest = weight.dim() - (2 if self.on_input else 1)
        factor = flat.view(1, -1, *[1] * rest) if self.on_input else flat.view(-1, *[1] * rest)
        return weight + strength * weight * factor


def _alpha(parts: Parts, rank: int) -> float:
    return 1.0 if "alpha" not in parts else float(parts["alpha"]) / rank


def _additive(kind: type[Additive], rank: Callable[[Parts], int | None]) -> Callable[[Parts, bool], Delta]:
    def build(parts: Parts, compat: bool) -> Delta:
        size = rank(parts)
        scale = 1.0 if size is None else _alpha(parts, size)
        return kind(parts, scale, _magnitude(parts), compat)

    return build


def _magnitude(parts: Parts) -> Tensor | None:
    """DoRA's magnitudes. PEFT's are those of rows, whatever their shape: of convolutions ``[1, O, 1, 1]``."""
    by_row = parts.get("magnitude")
    return parts.get("dora") if by_row is None else by_row.flatten()


def _lokr_rank(parts: Parts) -> int | None:
    factored = (parts.get(f"lokr_w{n}_b") for n in "21")
    return next((b.shape[0] for b in factored if b is not None), None)


def _glora_rank(parts: Parts) -> int:
    a1, a2, b1, b2 = (parts[k].flatten(1) for k in ("a1", "a2", "b1", "b2"))
    return int(a1.shape[0] if glora_is_old(a1, a2, b1, b2) else a1.shape[1])


def _rotation(parts: Parts, compat: bool) -> Delta:
    blocks, bound = parts["oft_blocks"], float(parts["alpha"]) if "alpha" in parts else 0.0
    rows = 1 if compat else blocks.shape[-3] * blocks.shape[-1]
    return Rotation(blocks, parts.get("rescale"), bound * rows, compat)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row: the tensors that must be there, how the change is built, and whether it goes on the bias."""

    name: str
    needs: tuple[str, ...]
    build: Callable[[Parts, bool], Delta]
    on_bias: bool = False


_HADA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
ALGORITHMS: tuple[Algorithm, ...] = (
    Algorithm("lora", ("up", "down"), _additive(Lora, lambda p: int(p["down"].shape[0]))),
    Algorithm("loha", _HADA, _additive(Loha, lambda p: int(p["hada_w1_b"].shape[0]))),
    *(
        Algorithm("lokr", (*one, *two), _additive(Lokr, _lokr_rank))
        for one in (("lokr_w1",), ("lokr_w1_a", "lokr_w1_b"))
        for two in (("lokr_w2",), ("lokr_w2_a", "lokr_w2_b"))
    ),
    Algorithm("glora", ("a1", "a2", "b1", "b2"), _additive(Glora, _glora_rank)),
    Algorithm("oft", ("oft_blocks",), _rotation),
    Algorithm("ia3", ("weight", "on_input"), lambda p, c: Scaled(p["weight"], bool(p["on_input"]))),
    Algorithm("norm", ("w_norm",), lambda p, c: Added(p["w_norm"])),
    Algorithm("diff", ("diff",), lambda p, c: Added(p["diff"])),
    Algorithm("set", ("set_weight",), lambda p, c: Replaced(p["set_weight"])),
    Algorithm("norm", ("b_norm",), lambda p, c: Added(p["b_norm"]), on_bias=True),
    Algorithm("diff", ("diff_b",), lambda p, c: Added(p["diff_b"]), on_bias=True),
)
"""In the order in which the changes of one stem are applied."""
