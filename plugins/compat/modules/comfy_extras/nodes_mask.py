"""`comfy_extras.nodes_mask`: masks, and pictures laid over pictures."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap

__getattr__ = gap(__name__)


def composite(
    destination: Any,
    source: Any,
    x: int,
    y: int,
    mask: Any = None,
    multiplier: int = 8,
    resize_source: bool = False,
) -> Any:
    """`source` [B, C, h, w] over `destination` at (x, y) pixels, in place; may stick out at any side."""
    from comfy.utils import repeat_to_batch_size
    from torch.nn.functional import interpolate

    height, width = destination.shape[-2:]
    source = source.to(destination)
    if resize_source:
        source = interpolate(source, size=(height, width), mode="bilinear")
    source = repeat_to_batch_size(source, len(destination))
    left, top = x // multiplier, y // multiplier
    rows = _shared(top, source.shape[-2], height)
    columns = _shared(left, source.shape[-1], width)
    if rows is None or columns is None:
        return destination
    through: Any = 1.0
    if mask is not None:
        flat = mask.to(destination).reshape(-1, 1, *mask.shape[-2:])
        fitted = interpolate(flat, size=tuple(source.shape[-2:]), mode="bilinear")
        through = repeat_to_batch_size(fitted, len(source))[..., rows[1], columns[1]]
    under = destination[..., rows[0], columns[0]]
    above = source[..., rows[1], columns[1]]
    destination[..., rows[0], columns[0]] = above * through + under * (1.0 - through)
    return destination


def _shared(at: int, length: int, of: int) -> tuple[slice, slice] | None:
    """Where something of that length, put at `at`, lies on something so long: there, and in itself."""
    first, last = max(at, 0), min(at + length, of)
    return None if first >= last else (slice(first, last), slice(first - at, last - at))
