"""Reading a network's numbers from the shapes of its tensors.

What shapes cannot tell (norm groups, attention heads) a file may say itself, in its safetensors
metadata under ``noderack.config``, as JSON: ``{"unet": {"groups": 8, "head_dim": 24},
"vae": {"groups": 8}, "clip": {"heads": 4}}``. Files of the field do not say it; for them each
``*_config`` function documents its rule.
"""

import json
from collections.abc import Mapping

from torch import Tensor

from noderack_diffusion.errors import UnknownModelError

Shapes = Mapping[str, tuple[int, ...]]
Told = Mapping[str, int]
METADATA_KEY = "noderack.config"


class ShapeError(UnknownModelError):
    """Tensors do not have the shapes of any network this module can build."""


def shapes_of(state: Mapping[str, Tensor], prefix: str = "") -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors under ``prefix``, keyed without it."""
    return {k.removeprefix(prefix): tuple(v.shape) for k, v in state.items() if k.startswith(prefix)}


def told(metadata: Mapping[str, str], part: str) -> dict[str, int]:
    """What a file says of its ``part`` ("unet", "vae", "clip") under ``noderack.config``; {} if nothing."""
    text = metadata.get(METADATA_KEY)
    if text is None:
        return {}
    try:
        values = json.loads(text).get(part, {})
        return {str(k): int(v) for k, v in values.items()}
    except (ValueError, AttributeError, TypeError) as cause:
        raise ShapeError(f"metadata {METADATA_KEY!r} is not a JSON object of objects of numbers") from cause


def count(shapes: Shapes, pattern: str) -> int:
    """How many of ``pattern.format(0)``, ``pattern.format(1)``, ... are there before the first gap."""
    n = 0
    while pattern.format(n) in shapes:
        n += 1
    return n


def groups_for(channels: int) -> int:
    """The usual number of norm groups: 32, or the greatest power of two below it that divides
    ``channels``.
    """
    groups = 32
    while channels % groups:
        groups //= 2
    return groups


def need(shapes: Shapes, key: str, what: str) -> tuple[int, ...]:
    """The shape of ``key``, or a ShapeError that says what is missing."""
    if key not in shapes:
        raise ShapeError(f"this is no {what}: tensor {key!r} is missing")
    return shapes[key]
