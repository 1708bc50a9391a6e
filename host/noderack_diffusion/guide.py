"""From conditioning lists to one function ``denoise(x, sigma)``: areas, masks, ranges, batching, guidance.

A conditioning list is what existing packs build: ``[[tensor [1, n, D], {options}], ...]``. ``prepare`` turns
two of them into ``Condition``s for one latent; ``Guide`` evaluates them in as few network calls as it can.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from noderack_diffusion import areas
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.sigma import Parametrisation

Conditioning = Sequence[Sequence[Any]]
MOST_REPEATS = 4


class Predictor(Protocol):
    """A model as guidance sees it."""

    @property
    def param(self) -> Parametrisation: ...

    @property
    def predict(self) -> Callable[..., Tensor]:
        """(x ``[B, C, h, w]``, sigma ``[B]``, context, extras by name) -> the clean latent."""

    def extras(
        self, entry: Mapping[str, Any], latent: Tensor, *, positive: bool, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """What beside the text one conditioning entry gives the network, each with a batch axis."""


class Hooked(Protocol):
    """Changes of weights that hold for one condition."""

    def patches(self, target: Any, sigma: float, sigmas: Sequence[float], param: Parametrisation) -> PatchSet:
        """What is on the weights of ``target`` at ``sigma`` of a run over ``sigmas``."""


NO_PATCHES = PatchSet()


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One conditioning entry, made ready for one latent size."""

    context: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    area: areas.Area | None = None
    mask: Tensor | None = None
    strength: float = 1.0
    first: float = math.inf
    """Holds from this sigma ..."""
    last: float = 0.0
    """... down to this one."""
    control: Any = None
    places: Any = None
    """Words with a place, and the gates that know of places."""
    default: bool = False
    hooks: Hooked | None = None
    entry: Mapping[str, Any] = field(default_factory=dict)
    """What the conditioning list said beside the text."""

    def active(self, sigma: float) -> bool:
        """Whether it holds at ``sigma``."""
        return self.last <= sigma <= self.first


def prepare(
    model: Predictor,
    lists: Sequence[Conditioning],
    latent: Tensor,
    mask: Tensor | None = None,
    seed: int | None = None,
) -> tuple[tuple[Condition, ...], ...]:
    """Conditioning lists as Conditions, the first being the positive one. ``seed`` is the run's.

    Every area in one list gets its counterpart in the others, and a ControlNet that asks for it is given to
    all.
    """
    seeded = [[(text, {**entry, "seed": seed}) for text, entry, *_ in rows] for rows in lists]
    ready = [[_ready(model, row, latent, i == 0, mask) for row in rows] for i, rows in enumerate(seeded)]
    whole = [_with_areas(own, [c for other in ready if other is not own for c in other]) for own in ready]
    shared = [c.control for c in _everywhere(whole[0]) if c.entry.get("control_apply_to_uncond")]
    placed = [c.places for c in _everywhere(whole[0])]
    for i, own in enumerate(whole[1:], 1):
        whole[i] = _handed_on(_handed_on(own, "control", shared), "places", placed)
    return tuple(tuple(own) for own in whole)


def _everywhere(own: Sequence[Condition]) -> list[Condition]:
    return [c for c in own if c.area is None]


def _handed_on(own: list[Condition], name: str, values: Sequence[Any]) -> list[Condition]:
    """``own``, with what the other side has for the whole picture, if no entry of ``own`` has such."""
    wanted = [value for value in values if value is not None]
    bare = [i for i, c in enumerate(own) if c.area is None]
    if not wanted or not bare or any(getattr(own[i], name) is not None for i in bare):
        return own
    found = list(own)
    for n, value in enumerate(wanted):
        at = bare[n % len(bare)]
        found[at] = replace(own[at], **{name: value})
    return found


def _ready(
    model: Predictor, row: Sequence[Any], latent: Tensor, positive: bool, mask: Tensor | None
) -> Condition:
    context, entry = row[0], row[1]
    if not context.numel():
        raise MismatchError(
            f"a prompt is {list(context.shape)} and holds no token; encode at least an empty text"
        )
    area, part = areas.resolve(entry, (latent.shape[-2], latent.shape[-1]))
    first, last = _range(entry, model.param)
    return Condition(
        context=context.to(latent.device),
        extras=model.extras(entry, latent, positive=positive, mask=mask),
        area=area,
        mask=None if part is None else part.to(latent.device) * entry.get("mask_strength", 1.0),
        strength=float(entry.get("strength", 1.0)),
        first=first,
        last=last,
        control=entry.get("control"),
        places=entry.get("gligen"),
        default=bool(entry.get("default", False)),
        hooks=entry.get("hooks") if hasattr(entry.get("hooks"), "patches") else None,
        entry=entry,
    )


def _range(entry: Mapping[str, Any], param: Parametrisation) -> tuple[float, float]:
    """From which sigma to which an entry holds; a text that was encoded for a part of the run has two."""
    percent = param.times.percent
    first = [percent(entry[name]) for name in ("start_percent", "clip_start_percent") if name in entry]
    last = [percent(entry[name]) for name in ("end_percent", "clip_end_percent") if name in entry]
    return min(first, default=math.inf), max(last, default=0.0)


def _with_areas(own: list[Condition], others: list[Condition]) -> list[Condition]:
    """``own``, and for each area of ``others`` that it lacks a copy that says there what ``own`` says."""
    found = list(own)
    for other in others:
        if other.area is None:
            continue
        match = _smallest(found, other.area)
        if match is not None and match.area != other.area:
            said = {n: getattr(match, n) for n in ("context", "extras", "control", "hooks")}
            found.append(replace(other, **said))
    return found


def _smallest(conditions: list[Condition], area: areas.Area) -> Condition | None:
    best: Condition | None = None
    for c in conditions:
        if c.area is None:
            best = best or c
        elif areas.inside(area, c.area) and (best is None or best.area is None or _cells(best) > _cells(c)):
            best = c
    return best


def _cells(condition: Condition) -> int:
    return condition.area[0] * condition.area[1] if condition.area else 0


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    condition: Condition
    side: int
    x: Tensor
    weight: Tensor
    area: areas.Area | None
    patches: PatchSet = NO_PATCHES


class Guide:
    """Evaluates lists of Conditions. Makes one network call for all that fit into one batch."""

    def __init__(self, model: Predictor, *, batch: bool = True, sigmas: Sequence[float] = ()) -> None:
        """``sigmas`` are those of the whole run, for changes of weights that follow it."""
        self.model, self.batch, self.sigmas = model, batch, sigmas
        self._texts: dict[tuple[int, ...], tuple[list[Tensor], Tensor]] = {}

    def predict(self, sides: Sequence[Sequence[Condition]], x: Tensor, sigma: float) -> list[Tensor]:
        """For each list the clean latent that it asks for, where conditions overlap their weighted mean."""
        calls = [c for i, side in enumerate(sides) for c in _calls(i, side, x, sigma)]
        calls += [c for i, side in enumerate(sides) for c in _rest(i, side, x, sigma, calls)]
        if any(call.condition.hooks is not None for call in calls):
            calls = self._hooked(calls, sigma)
        totals = [torch.zeros_like(x) for _ in sides]
        counts = [torch.full_like(x, 1e-37) for _ in sides]
        for group in _groups(calls) if self.batch else [[c] for c in calls]:
            for call, clean in zip(group, self._run(group, sigma), strict=True):
                areas.crop(totals[call.side], call.area).add_(clean * call.weight)
                areas.crop(counts[call.side], call.area).add_(call.weight)
        return [total / n for total, n in zip(totals, counts, strict=True)]

    def _hooked(self, calls: list[_Call], sigma: float) -> list[_Call]:
        """The calls, each with what its condition changes in the weights at this step."""
        target: Any = getattr(self.model, "target", self.model)
        found = [
            call if hooks is None else replace(call, patches=self._patches(hooks, target, sigma))
            for call, hooks in ((call, call.condition.hooks) for call in calls)
        ]
        target.live.hold(len({call.patches.key for call in found}))
        return found

    def _patches(self, hooks: Hooked, target: Any, sigma: float) -> PatchSet:
        return hooks.patches(target, sigma, self.sigmas, self.model.param)

    def _under(self, patches: PatchSet) -> Any:
        """The model with further patches on it."""
        model: Any = self.model
        return model.with_patches(patches) if patches else model

    def _run(self, group: list[_Call], sigma: float) -> Sequence[Tensor]:
        rows = [call.x.shape[0] for call in group]
        x = torch.cat([call.x for call in group])
        names = group[0].condition.extras
        extras: dict[str, Any] = {
            k: torch.cat(
                [
                    _rows(areas_crop(c.condition.extras[k], c.area), n)
                    for c, n in zip(group, rows, strict=True)
                ]
            )
            for k in names
        }
        if group[0].condition.control is not None:
            extras["control"] = group[0].condition.control
        if group[0].condition.places is not None:
            extras["places"] = group[0].condition.places
        if getattr(self.model, "wants_sides", False):
            extras["sides"] = [call.side for call in group]
        sigmas = torch.full((x.shape[0],), sigma, dtype=torch.float32, device=x.device)
        model = self._under(group[0].patches)
        return torch.split(model.predict(x, sigmas, self._text(group, rows), **extras), rows)

    def _text(self, group: list[_Call], rows: list[int]) -> Tensor:
        """The texts of a batch, in the same tensor at each step, so that a network may know it again."""
        parts = [call.condition.context for call in group]
        key = (*(id(part) for part in parts), *rows)
        if key not in self._texts:
            with torch.inference_mode(False), torch.no_grad():  # whether it was written to is seen then
                even = _even([_rows(part, n) for part, n in zip(parts, rows, strict=True)])
                even = even.to(getattr(self.model, "dtype", even.dtype))
                self._texts[key] = parts, even.clone() if even.is_inference() else even
        return self._texts[key][1]


def areas_crop(value: Tensor, area: areas.Area | None) -> Tensor:
    """Extras with a place (``[b, c, h, w]``) are cropped with the area, others are not."""
    return areas.crop(value, area) if value.dim() == 4 else value


def _calls(side: int, conditions: Sequence[Condition], x: Tensor, sigma: float) -> list[_Call]:
    size = (x.shape[-2], x.shape[-1])
    found = []
    for c in conditions:
        if c.active(sigma) and not c.default:
            area = None if c.area is None else areas.clip(c.area, size)
            part = areas.crop(x, area)
            weight = areas.influence(part, size, area, c.mask, c.strength)
            found.append(_Call(c, side, part, weight, area))
    return found


def _rest(
    side: int, conditions: Sequence[Condition], x: Tensor, sigma: float, calls: Sequence[_Call]
) -> list[_Call]:
    """Conditions that hold where, and as far as, no other of their side does."""
    fallback = [replace(c, default=False) for c in conditions if c.default]
    if not fallback:
        return []
    left = torch.ones_like(x)
    for call in calls:
        if call.side == side:
            areas.crop(left, call.area).sub_(call.weight)
    left = left.clamp(min=0)
    found = _calls(side, fallback, x, sigma) if left.any() else []
    return [replace(call, weight=areas.crop(left, call.area)) for call in found]


def _groups(calls: list[_Call]) -> list[list[_Call]]:
    """Calls that can share a batch; within one, later calls come first: what packs expect is [negative,
    positive].
    """
    groups: list[list[_Call]] = []
    for call in reversed(calls):
        group = next((g for g in groups if all(_fits(call, other) for other in g)), None)
        if group is None:
            groups.append([call])
        else:
            group.append(call)
    return groups


def _fits(a: _Call, b: _Call) -> bool:
    one, two = a.condition, b.condition
    if one.control is not two.control or one.places is not two.places:
        return False
    if a.x.shape != b.x.shape or one.extras.keys() != two.extras.keys():
        return False
    if a.patches is not b.patches and a.patches.key != b.patches.key:
        return False
    if any(v.shape[1:] != two.extras[k].shape[1:] for k, v in one.extras.items()):
        return False
    n, m = one.context.shape[1], two.context.shape[1]
    return one.context.shape[2] == two.context.shape[2] and math.lcm(n, m) // min(n, m) <= MOST_REPEATS


def _rows(value: Tensor, n: int) -> Tensor:
    if value.shape[0] == n:
        return value
    return value.repeat(-(-n // value.shape[0]), *[1] * (value.dim() - 1))[:n]


def _even(contexts: list[Tensor]) -> Tensor:
    """Contexts of different length, repeated to a common one (which attention does not notice)."""
    length = math.lcm(*(c.shape[1] for c in contexts))
    return torch.cat([c.repeat(1, length // c.shape[1], 1) for c in contexts])
