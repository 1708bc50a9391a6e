"""Hooks, masks and parts of a run put on conditionings, one at a time or on both sides at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.sockets import CONDITIONING, MASK, Conditioning, Inputs, Mappings, Node, choice, number

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_HOOKS, _RANGE = ("HOOKS",), ("TIMESTEPS_RANGE",)
_PERCENT, _UNTIL = number(0.0, 0.0, 1.0, 0.001), number(1.0, 0.0, 1.0, 0.001)
_SET = {
    "required": {"strength": number(1.0, 0.0, 10.0), "set_cond_area": choice("default", "mask bounds")},
    "optional": {"mask": MASK, "hooks": _HOOKS, "timesteps": _RANGE},
}


class ConditioningTimestepsRange(Node):
    """A part of the run, and what lies before and after it."""

    EXPERIMENTAL = True
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

    EXPERIMENTAL = True
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

    EXPERIMENTAL = True
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

    EXPERIMENTAL = True
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

    EXPERIMENTAL = True
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

    EXPERIMENTAL = True
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


class PairConditioningSetDefaultCombine(_Pair):
    """Adds, to both conditionings, what holds wherever no other entry does."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "positive": CONDITIONING,
            "negative": CONDITIONING,
            "positive_DEFAULT": CONDITIONING,
            "negative_DEFAULT": CONDITIONING,
        },
        "optional": {"hooks": _HOOKS},
    }
    FUNCTION = "set_default_and_combine"

    def set_default_and_combine(
        self,
        positive: Conditioning,
        negative: Conditioning,
        positive_DEFAULT: Conditioning,
        negative_DEFAULT: Conditioning,
        hooks: Any = None,
    ) -> tuple[Conditioning, Conditioning]:
        """`hooks` go onto the defaults alone."""
        yes, no = (as_default(side, hooks) for side in (positive_DEFAULT, negative_DEFAULT))
        return [*positive, *yes], [*negative, *no]


def as_default(conditioning: Conditioning, hooks: Any = None) -> Conditioning:
    """Each entry as one that holds where no other does, under further hooks."""
    return [[text, {**told, "default": True}] for text, told in with_hooks(conditioning, hooks)]


NODES: Mappings = {
    node.__name__: node
    for node in (
        ConditioningTimestepsRange,
        ConditioningSetProperties,
        ConditioningSetPropertiesAndCombine,
        PairConditioningSetProperties,
        PairConditioningSetPropertiesAndCombine,
        PairConditioningCombine,
        PairConditioningSetDefaultCombine,
    )
}
NAMES = {
    "ConditioningTimestepsRange": "Timesteps Range",
    "ConditioningSetProperties": "Cond Set Props",
    "ConditioningSetPropertiesAndCombine": "Cond Set Props Combine",
    "PairConditioningSetProperties": "Cond Pair Set Props",
    "PairConditioningSetPropertiesAndCombine": "Cond Pair Set Props Combine",
    "PairConditioningCombine": "Cond Pair Combine",
    "PairConditioningSetDefaultCombine": "Cond Pair Set Default Combine",
}
