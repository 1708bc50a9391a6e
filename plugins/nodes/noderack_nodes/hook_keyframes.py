"""How strong hooks are over a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from noderack_nodes.sockets import Inputs, Mappings, Node, choice, flag, integer, number

_HOOKS, _FRAMES = ("HOOKS",), ("HOOK_KEYFRAMES",)
_STRENGTH = number(1.0, -20.0, 20.0)
_PERCENT, _UNTIL = number(0.0, 0.0, 1.0, 0.001), number(1.0, 0.0, 1.0, 0.001)
_EASE: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "ease_in": lambda t: t * t,
    "ease_out": lambda t: 1.0 - (1.0 - t) ** 2,
    "ease_in_out": lambda t: (1.0 - math.cos(math.pi * t)) / 2.0,
}
"""How a strength goes from its first to its last value, by the share of the way."""


class SetHookKeyframes(Node):
    """Gives hooks a schedule."""

    EXPERIMENTAL = True
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

    EXPERIMENTAL = True
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

    EXPERIMENTAL = True
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
        prev_hook_kf: Any = None,
        print_keyframes: bool = False,
    ) -> tuple[Any]:
        """Evenly over the stretch of the run; those that fall between two steps are passed over."""
        ways = [_EASE[interpolation](t) for t in _even(keyframes_count)]
        strengths = [strength_start + (strength_end - strength_start) * way for way in ways]
        return (_spread(strengths, start_percent, end_percent, print_keyframes, prev_hook_kf),)


class CreateHookKeyframesFromFloats(_Keyframes):
    """A keyframe for each of some numbers."""

    EXPERIMENTAL = True
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
        prev_hook_kf: Any = None,
        print_keyframes: bool = False,
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


NODES: Mappings = {
    node.__name__: node
    for node in (
        SetHookKeyframes,
        CreateHookKeyframe,
        CreateHookKeyframesInterpolated,
        CreateHookKeyframesFromFloats,
    )
}
NAMES = {
    "SetHookKeyframes": "Set Hook Keyframes",
    "CreateHookKeyframe": "Create Hook Keyframe",
    "CreateHookKeyframesInterpolated": "Create Hook Keyframes Interp.",
    "CreateHookKeyframesFromFloats": "Create Hook Keyframes From Floats",
}
