"""`comfy.ldm.util`: small things that networks say."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap

__getattr__ = gap(__name__)


def exists(x: Any) -> bool:
    return x is not None


def default(val: Any, d: Any) -> Any:
    """`val`, or `d` (called, where it is a function) for None."""
    if val is not None:
        return val
    return d() if callable(d) else d
