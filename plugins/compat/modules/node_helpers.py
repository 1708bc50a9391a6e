"""`node_helpers`: small things that nodes do to conditioning and pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from noderack_compat.missing import gap

__getattr__ = gap(__name__)


def conditioning_set_values(
    conditioning: list[Any], values: dict[str, Any] | None = None, append: bool = False
) -> list[Any]:
    """A copy of a CONDITIONING list whose options have `values`; with `append`, lists grow instead."""
    changed = []
    for tensor, options in conditioning:
        merged = dict(options)
        for key, value in (values or {}).items():
            old = merged.get(key)
            merged[key] = [*old, *value] if append and old is not None else value
        changed.append([tensor, merged])
    return changed


def pillow(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a function of Pillow; a truncated file is given a second chance."""
    from PIL import ImageFile, UnidentifiedImageError

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        return function(*args, **kwargs)
    except (OSError, UnidentifiedImageError, ValueError):
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        return function(*args, **kwargs)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def hasher() -> Callable[..., Any]:
    return hashlib.sha256


def string_to_torch_dtype(name: str) -> Any:
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.get(name)


def image_alpha_fix(destination: Any, source: Any) -> tuple[Any, Any]:
    """Gives both pictures as many channels: alpha is added, opaque, where only one has it."""
    import torch

    if destination.shape[-1] < source.shape[-1]:
        source = source[..., : destination.shape[-1]]
    elif destination.shape[-1] > source.shape[-1]:
        destination = torch.nn.functional.pad(destination, (0, 0))
        source = torch.nn.functional.pad(source, (0, 1), value=1.0)
    return destination, source
