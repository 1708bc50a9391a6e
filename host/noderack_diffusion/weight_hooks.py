"""Changes of weights that hold for one conditioning entry only, as strong as keyframes over the run say.

A hook is a value: it holds no weights of a network, and nothing is switched until a step evaluates a
condition that has it. ``patches`` then says what is on the weights for that condition at that step;
conditions for which it says the same run together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor

from noderack_diffusion.lora import LoraFile, patches_for
from noderack_diffusion.model import Model
from noderack_diffusion.patch import Patch, PatchSet
from noderack_diffusion.patching.hooking import Grouped
from noderack_diffusion.sigma import Parametrisation
from noderack_diffusion.textenc import Clip
from noderack_diffusion.weights import Live


@dataclass(frozen=True, slots=True)
class Keyframe:
    """From ``start`` (0..1 of the run) on, a hook's strength is multiplied by ``strength``."""

    start: float
    strength: float
    steps: int = 1
    """For how many steps it holds at least, once it has begun."""


def strength_at(
    keyframes: Sequence[Keyframe], sigma: float, sigmas: Sequence[float], param: Parametrisation
) -> float:
    """The factor at ``sigma`` of a run over ``sigmas``; before the first keyframe that one's holds already.

    Keyframes that follow each other faster than the steps are passed over, except for those that must hold
    for some steps.
    """
    if not keyframes:
        return 1.0
    starts = [param.times.percent(k.start) for k in keyframes]
    seen = [s for s in sigmas if s > sigma]
    highest = max([*seen, sigma])
    least = [0 if start > highest else k.steps for start, k in zip(starts, keyframes, strict=True)]
    now = held = 0
    for step in (*seen, sigma):
        if held >= least[now]:
            for later in range(now + 1, len(keyframes)):
                if starts[later] < step:
                    break
                now, held = later, 0
                if least[later]:
                    break
        held += 1
    return keyframes[now].strength


class Change(Protocol):
    """What a hook does to weights."""

    def patches(self, target: Model | Clip) -> PatchSet:
        """As patches of full strength."""


@dataclass(frozen=True, slots=True)
class LoraChange:
    """An adapter file."""

    file: LoraFile

    def patches(self, target: Model | Clip) -> PatchSet:
        """Those that find their weight."""
        return patches_for(self.file, target, 1.0)[0]


@dataclass(frozen=True, slots=True, eq=False)
class Towards:
    """A weight moved from what its own file holds towards what another file holds."""

    own: Live
    other: Live
    parameter: str

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why the other's weight does not fit one of ``shape``."""
        dims = self.other.pieces[self.parameter].dims()
        return None if dims == shape else f"the other model's is {list(dims)}"

    def merged(self, weight: Tensor, strength: float) -> Tensor:
        """The weight plus ``strength`` times the difference of the files."""
        one, two = (live.pieces[self.parameter].read().float() for live in (self.own, self.other))
        return weight.add_(two - one, alpha=strength)


@dataclass(frozen=True, slots=True, eq=False)
class ModelChange:
    """Another checkpoint, as if it were an adapter: its difference to the one that it is put on."""

    model: Model
    clip: Clip | None = None

    def patches(self, target: Model | Clip) -> PatchSet:
        """One for each weight that both have, in the same shape."""
        found: list[Patch] = []
        for prefix, own, other in self._pairs(target):
            for name in own.pieces.keys() & other.pieces.keys():
                delta = Towards(own, other, name)
                if delta.misfit(own.pieces[name].dims()) is None and not name.endswith("position_ids"):
                    found.append(Patch(prefix + name, delta, f"{other.key}:towards:{name}"))
        return PatchSet(tuple(sorted(found, key=lambda patch: patch.parameter)))

    def _pairs(self, target: Model | Clip) -> list[tuple[str, Live, Live]]:
        if isinstance(target, Model):
            return [("", target.live, self.model.live)]
        theirs = {tower.recipe.name: tower.live for tower in (self.clip.towers if self.clip else ())}
        names = [(tower.recipe.name, tower.live) for tower in target.towers]
        return [(f"{name}.", live, theirs[name]) for name, live in names if name in theirs]


@dataclass(frozen=True)
class WeightHook:
    """A change of weights with its strengths and its keyframes."""

    change: Change
    strength_model: float = 1.0
    strength_clip: float = 1.0
    keyframes: tuple[Keyframe, ...] = ()
    _made: dict[str, PatchSet] = field(default_factory=dict, compare=False, repr=False)
    """Patches of full strength by what they are for; filled when they are first asked for."""

    def patches(self, target: Model | Clip, factor: float) -> PatchSet:
        """What is on the weights of ``target``, where keyframes say ``factor``."""
        own = self.strength_model if isinstance(target, Model) else self.strength_clip
        if not own * factor:
            return PatchSet()
        key = ":".join(live.key for live in _lives(target))
        if key not in self._made:
            self._made[key] = self.change.patches(target)
        return PatchSet(
            tuple(replace(p, strength=p.strength * own * factor) for p in self._made[key].patches)
        )


def _lives(target: Model | Clip) -> list[Live]:
    return [target.live] if isinstance(target, Model) else [tower.live for tower in target.towers]


@dataclass(frozen=True)
class HookGroup(Grouped):
    """Hooks that hold together: what a HOOKS socket carries."""

    hooks: tuple[WeightHook, ...] = ()
    _sets: dict[tuple[object, ...], PatchSet] = field(default_factory=dict, compare=False, repr=False)
    """The patch sets of this group by target and factors: equal ones are the same object."""

    def __or__(self, other: "HookGroup | None") -> "HookGroup":
        mine = set(map(id, self.hooks))
        return HookGroup((*self.hooks, *(h for h in (other.hooks if other else ()) if id(h) not in mine)))

    def with_keyframes(self, keyframes: tuple[Keyframe, ...]) -> "HookGroup":
        """The same hooks, their strength over the run given by ``keyframes``."""
        return HookGroup(tuple(replace(hook, keyframes=keyframes, _made=hook._made) for hook in self.hooks))

    def patches(
        self, target: Model, sigma: float, sigmas: Sequence[float], param: Parametrisation
    ) -> PatchSet:
        """What is on a model's weights at ``sigma`` of a run over ``sigmas``."""
        factors = [strength_at(hook.keyframes, sigma, sigmas, param) for hook in self.hooks]
        return self._joined(target, factors)

    def clip_patches(self, target: Clip, percent: float = 0.0) -> PatchSet:
        """What is on a text encoder's weights for a text that is used from ``percent`` of the run on."""
        return self._joined(target, [_at_percent(hook.keyframes, percent) for hook in self.hooks])

    def spans(self) -> list[tuple[float, float]]:
        """The stretches of a run, from and to in 0..1, in which no strength changes."""
        starts = {0.0, *(k.start for hook in self.hooks for k in hook.keyframes if 0.0 < k.start < 1.0)}
        return list(zip(sorted(starts), [*sorted(starts)[1:], 1.0], strict=True))

    def _joined(self, target: Model | Clip, factors: Sequence[float]) -> PatchSet:
        key = (*(live.key for live in _lives(target)), isinstance(target, Model), *factors)
        if key not in self._sets:
            found = PatchSet()
            for hook, factor in zip(self.hooks, factors, strict=True):
                found |= hook.patches(target, factor)
            self._sets[key] = found
        return self._sets[key]


def _at_percent(keyframes: Sequence[Keyframe], percent: float) -> float:
    begun = [k for k in keyframes if k.start <= percent]
    return (begun or keyframes or [Keyframe(0.0, 1.0)])[-1 if begun else 0].strength
