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
from dataclasses import dataclass

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

    def size(self) -> int | None:
        """How many elements D has, as far as the factors alone tell."""
        return None

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why this cannot change a weight of ``shape``."""
        wants = math.prod(self.parts["reshape"].tolist()) if "reshape" in self.parts else math.prod(shape)
        size = self.size()
        return (
            None
            if size in (None, wants)
            else f"the change has {size} numbers, the weight {list(shape)} {wants}"
        )

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """The weight with the change applied with ``strength``."""
        target = self.parts.get("reshape")
        if target is not None:
            weight = padded(weight, tuple(int(n) for n in target.tolist()))
        change = self.delta(weight).reshape(weight.shape)
        if self.dora is None:
            return weight.add_(change, alpha=strength * self.scale)
        return decomposed(weight, change * self.scale, self.dora.float(), strength, compat=self.compat)


def padded(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The weight in the lower corner of a larger one of zeros."""
    grow = [n - m for n, m in zip(shape, weight.shape, strict=True)]
    return F.pad(weight, [n for pair in ((0, g) for g in reversed(grow)) for n in pair])


def decomposed(weight: Tensor, change: Tensor, magnitude: Tensor, strength: float, *, compat: bool) -> Tensor:
    """DoRA: the direction of ``weight + change`` with the given magnitude; linear in ``strength``."""
    whole = weight + change
    rows = weight.shape[0]
    if magnitude.dim() == 1 and magnitude.shape[0] == rows:
        magnitude = magnitude.view(rows, *[1] * (weight.dim() - 1))
    if magnitude.shape[0] == rows:
        measured = weight if compat else whole
        norm = measured.flatten(1).norm(dim=1).view(rows, *[1] * (weight.dim() - 1))
    else:
        norm = whole.transpose(0, 1).flatten(1).norm(dim=1).view(1, -1, *[1] * (weight.dim() - 2))
    moved: Tensor = whole * (magnitude / (norm + torch.finfo(torch.float32).eps))
    return moved if strength == 1.0 else weight + strength * (moved - weight)


class Lora(Additive):
    """LoRA and LoCon: ``up @ down``, with a core between them in the Tucker form."""

    def size(self) -> int:
        """Rows of ``up`` times columns of ``down``, times the core's window."""
        up, down, mid = self.parts["up"], self.parts["down"], self.parts.get("mid")
        window = 1 if mid is None else math.prod(mid.shape[2:])
        return up.shape[0] * math.prod(down.shape[1:]) * window

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

    def size(self) -> int:
        """Rows times columns of either factor."""
        a, b, core = self.parts["hada_w1_a"], self.parts["hada_w1_b"], self.parts.get("hada_t1")
        outer = a.shape[0] if core is None else a.shape[1] * math.prod(core.shape[2:])
        return outer * b.shape[1]

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

    def size(self) -> int:
        """The product of the factors' sizes."""
        return self._factor("1").numel() * self._factor("2").numel()

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
        rows = self.blocks.shape[-3] * self.blocks.shape[-1]
        return None if rows == shape[0] else f"it turns {rows} rows, the weight {list(shape)} has {shape[0]}"

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
        return turned if self.rescale is None or self.compat else turned * self.rescale.float()

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
        return out if self.rescale is None else out * self.rescale.float()


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
        """Nothing misfits: the other weight comes with its own shape."""
        return None

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
        return (
            None
            if self.value.numel() == shape[axis]
            else f"{self.value.numel()} factors, weight {list(shape)}"
        )

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
        dora = parts.get("dora")
        return kind(parts, scale, dora, compat)

    return build


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


ALGORITHMS: tuple[Algorithm, ...] = (
    Algorithm("lora", ("up", "down"), _additive(Lora, lambda p: int(p["down"].shape[0]))),
    Algorithm("loha", ("hada_w1_a", "hada_w2_a"), _additive(Loha, lambda p: int(p["hada_w1_b"].shape[0]))),
    Algorithm("lokr", ("lokr_w1",), _additive(Lokr, _lokr_rank)),
    Algorithm("lokr", ("lokr_w1_a",), _additive(Lokr, _lokr_rank)),
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
