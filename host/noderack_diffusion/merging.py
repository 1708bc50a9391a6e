"""Merged models and text encoders, as patches that read the other one's file when a weight is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from noderack_diffusion.errors import MismatchError
from noderack_diffusion.model import Model
from noderack_diffusion.patch import Patch, PatchSet, apply
from noderack_diffusion.textenc import Clip
from noderack_diffusion.weights import Live

Handle = TypeVar("Handle", Model, Clip)

Ratio = Callable[[str], float]
"""Parameter name -> how much of the first model stays (1: all of it)."""


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """The weight of another handle (with its own patches), added."""

    live: Live
    parameter: str
    patches: PatchSet

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.live.pieces[self.parameter].dims()

    def value(self) -> Tensor:
        """It, patched, in fp32; what runs beside it counts as if it were in it."""
        stored, name = self.live.pieces[self.parameter].read(), self.parameter
        return apply(stored, (*self.patches.on(name), *self.patches.beside(name)))

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why the other model's weight cannot be added to one of ``shape``."""
        return None if self.shape == shape else f"the other model's is {list(self.shape)}"

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """The weight plus the other's, times ``strength``."""
        return weight.add_(self.value(), alpha=strength)


def weights_of(handle: Model | Clip) -> dict[str, Other]:
    """Every weight of a handle, by the name under which patches know it."""
    if isinstance(handle, Model):
        return {name: Other(handle.live, name, handle.patches) for name in handle.live.pieces}
    return {
        f"{tower.recipe.name}.{name}": Other(tower.live, name, handle.patches.below(f"{tower.recipe.name}."))
        for tower in handle.towers
        for name in tower.live.pieces
    }


def blend(one: Handle, other: Handle, ratio: Ratio) -> Handle:
    """``ratio`` of the first and the rest of the second, weight by weight."""
    return one.with_patches(_patches(one, other, lambda name: (ratio(name), 1.0 - ratio(name))))


def add(one: Handle, other: Handle, strength: float = 1.0) -> Handle:
    """The first plus ``strength`` times the second."""
    return one.with_patches(_patches(one, other, lambda name: (1.0, strength)))


def subtract(one: Handle, other: Handle, multiplier: float = 1.0) -> Handle:
    """The difference, times ``multiplier``."""
    return one.with_patches(_patches(one, other, lambda name: (multiplier, -multiplier)))


@dataclass(frozen=True, slots=True)
class Nothing:
    """No change: for patches whose factor is all there is to them."""

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """None: it fits all."""
        return None

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """The weight as it came."""
        return weight


def scaled(handle: Handle, factor: Callable[[str], float]) -> Handle:
    """Each weight times the factor that its name has."""
    rows = ((name, factor(name)) for name in weights_of(handle))
    found = (Patch(name, Nothing(), "scaled", 1.0, base) for name, base in rows if base != 1.0)
    return handle.with_patches(PatchSet(tuple(found)))


def by_block(ratios: Mapping[str, float]) -> Ratio:
    """One ratio for each part of a U-Net by the longest beginning of its name; 1 where there is none."""
    order = sorted(ratios, key=len, reverse=True)

    def ratio(name: str) -> float:
        return next((ratios[start] for start in order if name.startswith(start)), 1.0)

    return ratio


def _patches(
    one: Model | Clip, other: Model | Clip, factors: Callable[[str], tuple[float, float]]
) -> PatchSet:
    mine, theirs = weights_of(one), weights_of(other)
    if mine.keys().isdisjoint(theirs):
        raise MismatchError("these models have no weight in common")
    found = []
    for name in (n for n in mine if n in theirs and not n.endswith("position_ids")):
        shape, delta = mine[name].shape, theirs[name]
        why = delta.misfit(shape)
        if why:
            raise MismatchError(f"these models are of different shape: {name} is {list(shape)}, {why}")
        base, strength = factors(name)
        if (base, strength) != (1.0, 0.0):
            found.append(Patch(name, delta, f"{other.key}:{name}", strength, base))
    return PatchSet(tuple(found))


def block_ratio(first: float, middle: float, last: float, default: float = 1.0) -> Ratio:
    """One ratio for each part of a U-Net."""
    parts = {"input_blocks.": first, "middle_block.": middle, "output_blocks.": last}

    def ratio(name: str) -> float:
        return next((value for prefix, value in parts.items() if name.startswith(prefix)), default)

    return ratio
