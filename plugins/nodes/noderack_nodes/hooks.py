"""LoRAs and other checkpoints that act on one conditioning only, as strong as keyframes over the run say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.places import model_names, model_path
from noderack_nodes.sockets import (
    CLIP,
    CONDITIONING,
    MASK,
    Conditioning,
    Inputs,
    Mappings,
    Node,
    choice,
    flag,
    integer,
    number,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_HOOKS, _FRAMES, _RANGE = ("HOOKS",), ("HOOK_KEYFRAMES",), ("TIMESTEPS_RANGE",)
_STRENGTH, _PERCENT = number(1.0, -20.0, 20.0), number(0.0, 0.0, 1.0, 0.001)
_UNTIL = number(1.0, 0.0, 1.0, 0.001)
_AREA = choice("default", "mask bounds")
_SET = {
    "required": {"strength": number(1.0, 0.0, 10.0), "set_cond_area": _AREA},
    "optional": {"mask": MASK, "hooks": _HOOKS, "timesteps": _RANGE},
}
_EASE: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "ease_in": lambda t: t * t,
    "ease_out": lambda t: 1.0 - (1.0 - t) ** 2,
    "ease_in_out": lambda t: (1.0 - math.cos(math.pi * t)) / 2.0,
}
"""How a strength goes from its first to its last value, by the share of the way."""


class _Created(Node):
    """What the nodes that make a hook have in common."""

    RETURN_TYPES = ("HOOKS",)
    CATEGORY = "advanced/hooks/create"
    FUNCTION = "create_hook"
    FILE: ClassVar[tuple[str, str]] = ("lora_name", "loras")
    STRENGTHS: ClassVar[tuple[str, ...]] = ("strength_model", "strength_clip")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The files in the model folders now."""
        name, category = cls.FILE
        strengths = dict.fromkeys(cls.STRENGTHS, _STRENGTH)
        return {
            "required": {name: (model_names(category),), **strengths},
            "optional": {"prev_hooks": _HOOKS},
        }


def _hooked(change: Any, model: float, clip: float, before: Any) -> tuple[Any]:
    from noderack_diffusion.weight_hooks import HookGroup, WeightHook

    return ((before or HookGroup()) | HookGroup((WeightHook(change, model, clip),)),)


class CreateHookLora(_Created):
    """A LoRA for those conditionings that it is set on."""

    def create_hook(
        self, lora_name: str, strength_model: float, strength_clip: float, prev_hooks: Any = None
    ) -> tuple[Any]:
        """The hooks before it and this one."""
        from noderack_diffusion.lora import load_lora
        from noderack_diffusion.weight_hooks import HookGroup, LoraChange

        if not strength_model and not strength_clip:
            return (prev_hooks or HookGroup(),)
        change = LoraChange(load_lora(model_path("loras", lora_name)))
        return _hooked(change, strength_model, strength_clip, prev_hooks)


class CreateHookLoraModelOnly(CreateHookLora):
    """A LoRA for those conditionings that it is set on; the text is encoded without it."""

    FUNCTION = "create_hook_model_only"
    STRENGTHS = ("strength_model",)

    def create_hook_model_only(
        self, lora_name: str, strength_model: float, prev_hooks: Any = None
    ) -> tuple[Any]:
        """The hooks before it and this one."""
        return self.create_hook(lora_name, strength_model, 0.0, prev_hooks)


class CreateHookModelAsLora(_Created):
    """Another checkpoint for those conditionings that it is set on."""

    FILE = ("ckpt_name", "checkpoints")

    def create_hook(
        self, ckpt_name: str, strength_model: float, strength_clip: float, prev_hooks: Any = None
    ) -> tuple[Any]:
        """Its difference to the model that samples; at strength 1 it is that checkpoint."""
        from noderack_diffusion.checkpoint import load_checkpoint
        from noderack_diffusion.weight_hooks import ModelChange

        other = load_checkpoint(model_path("checkpoints", ckpt_name))
        return _hooked(ModelChange(other.model, other.clip), strength_model, strength_clip, prev_hooks)


class CreateHookModelAsLoraModelOnly(CreateHookModelAsLora):
    """The model of another checkpoint for those conditionings that it is set on."""

    FUNCTION = "create_hook_model_only"
    STRENGTHS = ("strength_model",)

    def create_hook_model_only(
        self, ckpt_name: str, strength_model: float, prev_hooks: Any = None
    ) -> tuple[Any]:
        """The hooks before it and this one."""
        return self.create_hook(ckpt_name, strength_model, 0.0, prev_hooks)


class SetHookKeyframes(Node):
    """Gives hooks a schedule."""

    INPUTS: ClassVar[Inputs] = {"required": {"hooks": _HOOKS}, "optional": {"hook_kf": _FRAMES}}
    RETURN_TYPES = ("HOOKS",)
    CATEGORY = "advanced/hooks/scheduling"
    FUNCTION = "set_hook_keyframes"

    def set_hook_keyframes(self, hooks: Any, hook_kf: Any = None) -> tuple[Any]:
        """New hooks; those that came in stay as they are."""
        return (hooks if hook_kf is None else hooks.with_keyframes(hook_kf),)


class _Keyframes(Node):
    """What the nodes that make keyframes have in common."""

    RETURN_TYPES = ("HOOK_KEYFRAMES",)
    RETURN_NAMES = ("HOOK_KF",)
    CATEGORY = "advanced/hooks/scheduling"


class CreateHookKeyframe(_Keyframes):
    """From a place in the run on: how strong."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"strength_mult": _STRENGTH, "start_percent": _PERCENT},
        "optional": {"prev_hook_kf": _FRAMES},
    }
    FUNCTION = "create_hook_keyframe"

    def create_hook_keyframe(
        self, strength_mult: float, start_percent: float, prev_hook_kf: Any = None
    ) -> tuple[Any]:
        """The keyframes before it and this one, in the order of the run."""
        return (_with_frames(prev_hook_kf, [(start_percent, strength_mult, 1)]),)


class CreateHookKeyframesInterpolated(_Keyframes):
    """Several keyframes whose strength goes from one value to another."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "strength_start": number(1.0, 0.0, 10.0, 0.001),
            "strength_end": number(1.0, 0.0, 10.0, 0.001),
            "interpolation": choice(*_EASE),
            "start_percent": _PERCENT,
            "end_percent": _UNTIL,
            "keyframes_count": integer(5, 2, 100, 1),
            "print_keyframes": flag(False),
        },
        "optional": {"prev_hook_kf": _FRAMES},
    }
    FUNCTION = "create_hook_keyframes"

    def create_hook_keyframes(
        self,
        strength_start: float,
        strength_end: float,
        interpolation: str,
        start_percent: float,
        end_percent: float,
        keyframes_count: int,
        print_keyframes: bool = False,
        prev_hook_kf: Any = None,
    ) -> tuple[Any]:
        """Evenly over the stretch of the run; those that fall between two steps are passed over."""
        ways = [_EASE[interpolation](t) for t in _even(keyframes_count)]
        strengths = [strength_start + (strength_end - strength_start) * way for way in ways]
        return (_spread(strengths, start_percent, end_percent, print_keyframes, prev_hook_kf),)


class CreateHookKeyframesFromFloats(_Keyframes):
    """A keyframe for each of some numbers."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "floats_strength": ("FLOATS", {"default": -1, "min": -1, "step": 0.001, "forceInput": True}),
            "start_percent": _PERCENT,
            "end_percent": _UNTIL,
            "print_keyframes": flag(False),
        },
        "optional": {"prev_hook_kf": _FRAMES},
    }
    FUNCTION = "create_hook_keyframes"

    def create_hook_keyframes(
        self,
        floats_strength: float | Iterable[float],
        start_percent: float,
        end_percent: float,
        print_keyframes: bool = False,
        prev_hook_kf: Any = None,
    ) -> tuple[Any]:
        """Evenly over the stretch of the run."""
        given = [floats_strength] if isinstance(floats_strength, int | float) else floats_strength
        strengths = [float(strength) for strength in given]
        return (_spread(strengths, start_percent, end_percent, print_keyframes, prev_hook_kf),)


def _even(count: int) -> list[float]:
    return [i / (count - 1) if count > 1 else 0.0 for i in range(count)]


def _spread(strengths: list[float], start: float, end: float, told: bool, before: Any) -> Any:
    """Keyframes evenly from ``start`` to ``end``; the first holds for a step at least."""
    places = [start + (end - start) * share for share in _even(len(strengths))]
    rows = [(place, s, int(i == 0)) for i, (place, s) in enumerate(zip(places, strengths, strict=True))]
    if told:
        import logging

        for place, strength, _ in rows:
            logging.getLogger(__name__).info("hook keyframe: from %.3f on %.4f", place, strength)
    return _with_frames(before, rows)


def _with_frames(before: Any, rows: list[tuple[float, float, int]]) -> Any:
    from noderack_diffusion.weight_hooks import Keyframe

    return tuple(sorted([*(before or ()), *(Keyframe(*row) for row in rows)], key=lambda frame: frame.start))


def _combiner(letters: str) -> type[Node]:
    class Combine(Node):
        __doc__ = f"Up to {len(letters)} groups of hooks as one."
        INPUTS: ClassVar[Inputs] = {
            "required": {},
            "optional": {f"hooks_{letter}": _HOOKS for letter in letters},
        }
        RETURN_TYPES = ("HOOKS",)
        CATEGORY = "advanced/hooks/combine"
        FUNCTION = "combine_hooks"

        def combine_hooks(self, **groups: Any) -> tuple[Any]:
            """All of them, each once."""
            from noderack_diffusion.weight_hooks import HookGroup

            found = HookGroup()
            for name in sorted(groups):
                found |= groups[name]
            return (found,)

    Combine.__name__ = Combine.__qualname__ = f"CombineHooks{len(letters)}"
    return Combine


class ConditioningTimestepsRange(Node):
    """A part of the run, and what lies before and after it."""

    INPUTS: ClassVar[Inputs] = {"required": {"start_percent": _PERCENT, "end_percent": _UNTIL}}
    RETURN_TYPES = ("TIMESTEPS_RANGE", "TIMESTEPS_RANGE", "TIMESTEPS_RANGE")
    RETURN_NAMES = ("TIMESTEPS_RANGE", "BEFORE_RANGE", "AFTER_RANGE")
    CATEGORY = "advanced/hooks"
    FUNCTION = "create_range"

    def create_range(self, start_percent: float, end_percent: float) -> tuple[Any, Any, Any]:
        """Each as (from, to) in 0..1."""
        return (start_percent, end_percent), (0.0, start_percent), (end_percent, 1.0)


def with_hooks(conditioning: Conditioning, hooks: Any) -> Conditioning:
    """Each entry under further hooks."""
    if hooks is None:
        return conditioning
    return [[text, {**told, "hooks": _joined(told.get("hooks"), hooks)}] for text, told in conditioning]


def _joined(before: Any, hooks: Any) -> Any:
    return hooks if before is None else before | hooks


def with_properties(
    conditioning: Conditioning,
    strength: float,
    set_cond_area: str,
    mask: Tensor | None = None,
    hooks: Any = None,
    timesteps: tuple[float, float] | None = None,
) -> Conditioning:
    """Each entry under hooks, in a mask (which the strength is of) and in a part of the run."""
    told: dict[str, Any] = {}
    if mask is not None:
        whole = mask[None] if mask.dim() == 2 else mask
        told |= {"mask": whole, "set_area_to_bounds": set_cond_area != "default", "mask_strength": strength}
    if timesteps is not None:
        told |= {"start_percent": timesteps[0], "end_percent": timesteps[1]}
    return [[text, {**entry, **told}] for text, entry in with_hooks(conditioning, hooks)]


class ConditioningSetProperties(Node):
    """Hooks, a mask and a part of the run for a conditioning."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"cond_NEW": CONDITIONING, **_SET["required"]},
        "optional": _SET["optional"],
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "advanced/hooks/cond single"
    FUNCTION = "set_properties"

    def set_properties(
        self, cond_NEW: Conditioning, strength: float, set_cond_area: str, **more: Any
    ) -> tuple[Conditioning]:
        """`strength` is that of the mask; without one it changes nothing."""
        return (with_properties(cond_NEW, strength, set_cond_area, **more),)


class ConditioningSetPropertiesAndCombine(Node):
    """The same, beside another conditioning."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"cond": CONDITIONING, "cond_NEW": CONDITIONING, **_SET["required"]},
        "optional": _SET["optional"],
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "advanced/hooks/cond single"
    FUNCTION = "set_properties"

    def set_properties(
        self, cond: Conditioning, cond_NEW: Conditioning, strength: float, set_cond_area: str, **more: Any
    ) -> tuple[Conditioning]:
        """The other conditioning stays as it is."""
        return ([*cond, *with_properties(cond_NEW, strength, set_cond_area, **more)],)


class _Pair(Node):
    """What the nodes for positive and negative at once have in common."""

    RETURN_TYPES = ("CONDITIONING", "CONDITIONING")
    RETURN_NAMES = ("positive", "negative")
    CATEGORY = "advanced/hooks/cond pair"


class PairConditioningSetProperties(_Pair):
    """Hooks, a mask and a part of the run for both conditionings."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"positive_NEW": CONDITIONING, "negative_NEW": CONDITIONING, **_SET["required"]},
        "optional": _SET["optional"],
    }
    FUNCTION = "set_properties"

    def set_properties(
        self,
        positive_NEW: Conditioning,
        negative_NEW: Conditioning,
        strength: float,
        set_cond_area: str,
        **more: Any,
    ) -> tuple[Conditioning, Conditioning]:
        """The same for both."""
        told = (strength, set_cond_area)
        return with_properties(positive_NEW, *told, **more), with_properties(negative_NEW, *told, **more)


class PairConditioningSetPropertiesAndCombine(_Pair):
    """The same, beside another pair."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "positive": CONDITIONING,
            "negative": CONDITIONING,
            "positive_NEW": CONDITIONING,
            "negative_NEW": CONDITIONING,
            **_SET["required"],
        },
        "optional": _SET["optional"],
    }
    FUNCTION = "set_properties"

    def set_properties(
        self,
        positive: Conditioning,
        negative: Conditioning,
        positive_NEW: Conditioning,
        negative_NEW: Conditioning,
        **told: Any,
    ) -> tuple[Conditioning, Conditioning]:
        """The other pair stays as it is."""
        yes, no = PairConditioningSetProperties().set_properties(positive_NEW, negative_NEW, **told)
        return [*positive, *yes], [*negative, *no]


class PairConditioningCombine(_Pair):
    """Two pairs as one."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "positive_A": CONDITIONING,
            "negative_A": CONDITIONING,
            "positive_B": CONDITIONING,
            "negative_B": CONDITIONING,
        }
    }
    FUNCTION = "combine"

    def combine(
        self,
        positive_A: Conditioning,
        negative_A: Conditioning,
        positive_B: Conditioning,
        negative_B: Conditioning,
    ) -> tuple[Conditioning, Conditioning]:
        """Both hold side by side."""
        return [*positive_A, *positive_B], [*negative_A, *negative_B]


class SetClipHooks(Node):
    """Encode texts under hooks."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"clip": CLIP, "apply_to_conds": flag(True), "schedule_clip": flag(False)},
        "optional": {"hooks": _HOOKS},
    }
    RETURN_TYPES = ("CLIP",)
    CATEGORY = "advanced/hooks/clip"
    FUNCTION = "apply_hooks"

    def apply_hooks(
        self, clip: Any, apply_to_conds: bool, schedule_clip: bool, hooks: Any = None
    ) -> tuple[Any]:
        """`apply_to_conds` has the model follow too, `schedule_clip` encodes anew for each keyframe."""
        if hooks is None:
            return (clip,)
        return (clip.with_hooks(hooks, to_conds=apply_to_conds, scheduled=schedule_clip),)


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(CreateHookLora, CreateHookLoraModelOnly, CreateHookModelAsLora, CreateHookModelAsLoraModelOnly),
        *(SetHookKeyframes, CreateHookKeyframe, CreateHookKeyframesInterpolated),
        *(CreateHookKeyframesFromFloats, _combiner("AB"), _combiner("ABCD"), _combiner("ABCDEFGH")),
        *(ConditioningTimestepsRange, ConditioningSetProperties, ConditioningSetPropertiesAndCombine),
        *(PairConditioningSetProperties, PairConditioningSetPropertiesAndCombine, PairConditioningCombine),
        SetClipHooks,
    )
}
NAMES = {
    "CreateHookLora": "Create Hook LoRA",
    "CreateHookLoraModelOnly": "Create Hook LoRA (MO)",
    "CreateHookModelAsLora": "Create Hook Model as LoRA",
    "CreateHookModelAsLoraModelOnly": "Create Hook Model as LoRA (MO)",
    "SetHookKeyframes": "Set Hook Keyframes",
    "CreateHookKeyframe": "Create Hook Keyframe",
    "CreateHookKeyframesInterpolated": "Create Hook Keyframes Interp.",
    "CreateHookKeyframesFromFloats": "Create Hook Keyframes From Floats",
    "CombineHooks2": "Combine Hooks [2]",
    "CombineHooks4": "Combine Hooks [4]",
    "CombineHooks8": "Combine Hooks [8]",
    "ConditioningTimestepsRange": "Timesteps Range",
    "ConditioningSetProperties": "Cond Set Props",
    "ConditioningSetPropertiesAndCombine": "Cond Set Props Combine",
    "PairConditioningSetProperties": "Cond Pair Set Props",
    "PairConditioningSetPropertiesAndCombine": "Cond Pair Set Props Combine",
    "PairConditioningCombine": "Cond Pair Combine",
    "SetClipHooks": "Set CLIP Hooks",
}
