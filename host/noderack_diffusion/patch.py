"""Changes to weights, as values: what is added to which parameter, how strongly.

A ``PatchSet`` never touches a file. A weight in use is derived from the file's tensor and the set, so taking
a set off means deriving again, and the result is the file's tensor, bit for bit.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor


class Delta(Protocol):
    """What an adapter does to one weight."""

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why it cannot change a weight of ``shape``, or None if it can."""

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """The changed weight; ``weight`` is fp32 and belongs to the caller, who may find it changed."""


@dataclass(frozen=True, slots=True)
class Part:
    """A range of rows (or of another axis) of a weight."""

    start: int
    length: int
    axis: int = 0


@dataclass(frozen=True, slots=True)
class Patch:
    """One change of one parameter: ``weight * base``, then ``delta`` with ``strength``."""

    parameter: str
    delta: Delta = field(compare=False, repr=False)
    origin: str
    """Names the content of ``delta``: hash of its file, and its place there."""
    strength: float = 1.0
    base: float = 1.0
    part: Part | None = None
    beside: bool = False
    """Applied beside the layer when it runs, not in its weight (``bypass``)."""


@dataclass(frozen=True)
class PatchSet:
    """Patches in their order. Two sets of equal ``key`` make equal weights."""

    patches: tuple[Patch, ...] = ()

    @cached_property
    def key(self) -> str:
        """A hash of the files, parameters, strengths and order."""
        rows = (
            f"{p.parameter}\0{p.origin}\0{p.strength!r}\0{p.base!r}\0{p.part!r}{p.beside:d}"
            for p in self.patches
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    @cached_property
    def _by_parameter(self) -> dict[str, tuple[Patch, ...]]:
        return _grouped(patch for patch in self.patches if not patch.beside)

    @cached_property
    def _beside(self) -> dict[str, tuple[Patch, ...]]:
        return _grouped(patch for patch in self.patches if patch.beside)

    def on(self, parameter: str) -> tuple[Patch, ...]:
        """The patches in one parameter."""
        return self._by_parameter.get(parameter, ())

    def beside(self, parameter: str) -> tuple[Patch, ...]:
        """The patches beside the layer whose parameter it is."""
        return self._beside.get(parameter, ())

    def below(self, prefix: str) -> "PatchSet":
        """The patches of parameters under ``prefix``, keyed without it."""
        own = (p for p in self.patches if p.parameter.startswith(prefix))
        return PatchSet(tuple(replace(p, parameter=p.parameter.removeprefix(prefix)) for p in own))

    def parameters(self) -> frozenset[str]:
        """The parameters that this set changes."""
        return frozenset(self._by_parameter)

    def branches(self) -> frozenset[str]:
        """The parameters of layers that this set has patches beside."""
        return frozenset(self._beside)

    def differs(self, other: "PatchSet") -> frozenset[str]:
        """The parameters whose weights are not the same under both sets."""
        if other is self:
            return frozenset()
        both = self.parameters() | other.parameters()
        return frozenset(name for name in both if self.on(name) != other.on(name))

    def __or__(self, other: "PatchSet") -> "PatchSet":
        return PatchSet(self.patches + other.patches)

    def __bool__(self) -> bool:
        return bool(self.patches)


def _grouped(patches: Iterable[Patch]) -> dict[str, tuple[Patch, ...]]:
    found: dict[str, list[Patch]] = {}
    for patch in patches:
        found.setdefault(patch.parameter, []).append(patch)
    return {parameter: tuple(own) for parameter, own in found.items()}


def apply(weight: Tensor, patches: Iterable[Patch]) -> Tensor:
    """``weight`` after ``patches``, computed in fp32; the given tensor is left as it is."""
    value = weight.to(torch.float32, copy=True)
    for patch in patches:
        if patch.base != 1.0:
            value = value * patch.base
        if patch.part is None:
            value = patch.delta.merged(value, patch.strength)
        else:
            view = value.narrow(patch.part.axis, patch.part.start, patch.part.length)
            view.copy_(patch.delta.merged(view.clone(), patch.strength))
    return value
