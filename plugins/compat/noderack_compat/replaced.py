"""Functions of the host that packs put others in the place of: what that reaches.

A pack assigns to a module, `comfy.samplers.sampling_function = mine`, and expects every run of the host to
go through its function. Where the name stands for a function of the core, the core's modules get the pack's
in its place, and the old one back when the pack puts that back. Any other name is seen by packs alone: that
is counted, and told by `nodes list --failed`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from noderack_compat import missing

CORE = "noderack_diffusion"


class Host(ModuleType):
    """A module of the host, as packs write to it and take everything from it (`import *`)."""

    @property
    def __all__(self) -> list[str]:
        """Its own names and those that it has in the field, which are stand-ins where they are lacking."""
        names = {*self.__dict__, *missing.interface().get(self.__name__, ())}
        return sorted(name for name in names if not name.startswith("_"))

    def __setattr__(self, name: str, value: Any) -> None:
        old = self.__dict__.get(name)
        super().__setattr__(name, value)
        if old is None or old is value or name.startswith("__") or not (callable(old) and callable(value)):
            return
        if isinstance(old, ModuleType) or not self.__name__.startswith("comfy."):
            return
        adapt = ADAPTED.get(f"{self.__name__}.{name}")
        if adapt is not None:
            adapt(value)
        elif not _instead(old, value):
            missing.REPLACED.count(f"{self.__name__}.{name}", missing.calling_pack())


def watch(module: str) -> None:
    """From now on hears of what is put into that module, which is being imported."""
    found = sys.modules.get(module)
    if type(found) is ModuleType:
        found.__class__ = Host


def _instead(old: Any, new: Any) -> bool:
    """Puts `new` wherever a module of the core has `old`; whether it had it anywhere."""
    places = [
        (module, name)
        for key, module in tuple(sys.modules.items())
        if key.startswith(CORE) and module is not None
        for name, value in tuple(vars(module).items())
        if value is old
    ]
    for module, name in places:
        setattr(module, name, new)
    return bool(places)


def _attention(new: Any) -> None:
    """The U-Net's attention, which the core calls in its own way."""
    unet: Any = sys.modules["noderack_diffusion.unet"]
    ops: Any = sys.modules["noderack_diffusion.ops"]
    own = getattr(new, "__module__", "") == "comfy.ldm.modules.attention"
    unet.attention = ops.attention if own else _as_the_core_calls(new)


def _as_the_core_calls(function: Callable[..., Any]) -> Callable[..., Any]:
    given: dict[str, Any] = {"attn_precision": None, "transformer_options": {}}
    known = inspect.signature(function).parameters
    every = any(one.kind is one.VAR_KEYWORD for one in known.values())
    extra = {name: value for name, value in given.items() if every or name in known}

    def attention(q: Any, k: Any, v: Any, heads: int) -> Any:
        return function(q, k, v, heads, **extra)

    return attention


ADAPTED: dict[str, Callable[[Any], None]] = {
    "comfy.ldm.modules.attention.optimized_attention": _attention,
    "comfy.ldm.modules.attention.optimized_attention_masked": lambda new: None,  # the core's has no mask
}
