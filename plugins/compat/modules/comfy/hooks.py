"""`comfy.hooks`: changes of weights for single conditionings, as strong as keyframes say.

Hooks of weights are the core's. Hooks that put functions or options around a run are not here: those that
packs make of that kind have stand-ins.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any

from noderack_compat.missing import gap
from noderack_diffusion.weight_hooks import HookGroup, Keyframe, LoraChange, WeightHook
from noderack_nodes.hook_conditioning import as_default, with_hooks, with_properties

__getattr__ = gap(__name__)
__all__ = ["HookGroup", "WeightHook"]


class EnumHookMode(enum.Enum):
    MinVram = "minvram"
    MaxSpeed = "maxspeed"


class EnumHookScope(enum.Enum):
    AllConditioning = "all_conditioning"
    HookedOnly = "hooked_only"


class EnumWeightTarget(enum.Enum):
    Model = "model"
    Clip = "clip"


class HookKeyframe(Keyframe):
    """From a part of the run on, how strong; `guarantee_steps` holds it for so many steps."""

    def __init__(self, strength: float, start_percent: float = 0.0, guarantee_steps: int = 1) -> None:
        super().__init__(float(start_percent), strength, guarantee_steps)

    @property
    def start_percent(self) -> float:
        return self.start

    @property
    def guarantee_steps(self) -> int:
        return self.steps

    def clone(self) -> HookKeyframe:
        return HookKeyframe(self.strength, self.start, self.steps)


class HookKeyframeGroup(list[Keyframe]):
    """Keyframes in the order of the run."""

    def __init__(self, frames: Iterable[Keyframe] = ()) -> None:
        super().__init__(sorted(frames, key=lambda frame: frame.start))

    def add(self, keyframe: Keyframe) -> None:
        self.append(keyframe)
        self.sort(key=lambda frame: frame.start)

    @property
    def keyframes(self) -> list[Keyframe]:
        return list(self)

    def is_empty(self) -> bool:
        return not self

    def has_index(self, index: int) -> bool:
        return 0 <= index < len(self)

    def clone(self) -> HookKeyframeGroup:
        return HookKeyframeGroup(self)


def create_hook_lora(lora: Any, strength_model: float, strength_clip: float) -> HookGroup:
    """Hooks of a LoRA's tensors."""
    from noderack_compat.loras import in_a_file
    from noderack_diffusion.lora import load_lora

    change = LoraChange(in_a_file(lora, load_lora))
    return HookGroup((WeightHook(change, strength_model, strength_clip),))


def load_hook_lora_for_models(
    model: Any, clip: Any, lora: Any, strength_model: float, strength_clip: float
) -> tuple[Any, Any, HookGroup]:
    """The same, with copies of MODEL and CLIP; hooks need nothing of those."""
    hooks = create_hook_lora(lora, strength_model, strength_clip)
    return (model and model.clone(), clip and clip.clone(), hooks)


def set_hooks_for_conditioning(
    cond: Any, hooks: HookGroup | None, append_hooks: bool = True, cache: Any = None
) -> Any:
    """A conditioning under further hooks, or under these alone."""
    if hooks is None or append_hooks:
        return with_hooks(cond, hooks)
    return [[text, {**told, "hooks": hooks}] for text, told in cond]


def set_timesteps_for_conditioning(cond: Any, timestep_range: tuple[float, float] | None) -> Any:
    """A conditioning for a part of the run."""
    return with_properties(cond, 1.0, "default", timesteps=timestep_range)


def set_mask_for_conditioning(cond: Any, mask: Any, set_cond_area: str, strength: float) -> Any:
    """A conditioning in a mask."""
    return with_properties(cond, strength, set_cond_area, mask)


def set_conds_props(
    conds: Any,
    strength: float,
    set_cond_area: str,
    mask: Any = None,
    hooks: HookGroup | None = None,
    timesteps_range: tuple[float, float] | None = None,
    append_hooks: bool = True,
) -> list[Any]:
    """Each conditioning under hooks, in a mask and in a part of the run."""
    hooked = [set_hooks_for_conditioning(cond, hooks, append_hooks) for cond in conds]
    return [with_properties(c, strength, set_cond_area, mask, None, timesteps_range) for c in hooked]


def set_conds_props_and_combine(
    conds: Any,
    new_conds: Any,
    strength: float = 1.0,
    set_cond_area: str = "default",
    mask: Any = None,
    hooks: HookGroup | None = None,
    timesteps_range: tuple[float, float] | None = None,
    append_hooks: bool = True,
) -> list[Any]:
    """The new ones so, beside the others."""
    told = (strength, set_cond_area, mask, hooks, timesteps_range, append_hooks)
    return combine_with_new_conds(conds, set_conds_props(new_conds, *told))


def set_default_conds_and_combine(
    conds: Any,
    new_conds: Any,
    hooks: HookGroup | None = None,
    timesteps_range: tuple[float, float] | None = None,
    append_hooks: bool = True,
) -> list[Any]:
    """What holds where no other entry does, beside the others."""
    made = [as_default(set_hooks_for_conditioning(cond, hooks, append_hooks)) for cond in new_conds]
    return combine_with_new_conds(conds, [set_timesteps_for_conditioning(c, timesteps_range) for c in made])


def combine_conditioning(conds: Any) -> list[Any]:
    """All entries."""
    return [entry for cond in conds for entry in cond]


def combine_with_new_conds(conds: Any, new_conds: Any) -> list[Any]:
    """Each with its new one."""
    return [[*cond, *new] for cond, new in zip(conds, new_conds, strict=False)]
