"""`execution`: what packs look up in the executor's module."""

from __future__ import annotations

from typing import Any

import nodes
from noderack_compat.missing import gap

__getattr__ = gap(__name__)
__all__ = ["full_type_name", "nodes"]


def full_type_name(klass: Any) -> str:
    """A class with its module, as errors name it."""
    module = klass.__module__
    return klass.__qualname__ if module == "builtins" else f"{module}.{klass.__qualname__}"
