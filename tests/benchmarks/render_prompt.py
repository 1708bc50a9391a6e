"""A workflow's prompt made cheap: the same nodes and links, smaller sides, few steps."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import PurePosixPath
from typing import Any

from noderack_host.schema import NodeSchema

Prompt = dict[str, Any]
STEPS, BATCH, GRID = 3, 2, 8
LARGE, SMALLER, SMALLEST = 768, 8, 16
"""Prompts whose latents are this large are made smaller still."""
_SIDES = {"width", "height", "x", "y", "left", "top", "right", "bottom", "feathering", "grow_mask_by"}
_TOLD = re.compile("CLIPTextEncode|Resolution")
"""Types to which a size is only something to say."""
_PICTURES = {"LoadImage": "image", "LoadImageMask": "image", "LoadImageOutput": "image", "Load3D": "image"}


def cheaper(prompt: Mapping[str, Any], schemas: Mapping[str, NodeSchema]) -> Prompt:
    """The same prompt with sides, steps, batches and areas cut down; nothing else changes."""
    made = deepcopy(dict(prompt))
    by = SMALLEST if min(_latents(made), default=0) >= LARGE else SMALLER
    for node in made.values():
        inputs = node["inputs"]
        steps = inputs.get("steps")
        for name, value in list(inputs.items()):
            if isinstance(value, int | float) and not isinstance(value, bool):
                less = _less(node["class_type"], name, value, steps, by)
                inputs[name] = max(less, _least(schemas.get(node["class_type"]), name, less))
    return made


def _latents(prompt: Prompt) -> Iterator[int]:
    for node in prompt.values():
        if node["class_type"] == "EmptyLatentImage":
            yield from (
                v for k, v in node["inputs"].items() if k in ("width", "height") and isinstance(v, int)
            )


def _least(schema: NodeSchema | None, name: str, otherwise: float) -> float:
    """The least that a node takes."""
    inputs = schema.inputs if schema is not None else ()
    found = next((one.options.get("min") for one in inputs if one.name == name), None)
    return otherwise if found is None else float(found) if isinstance(otherwise, float) else int(found)


def _less(kind: str, name: str, value: float, steps: Any, by: int) -> float:
    if name in _SIDES and not _TOLD.search(kind):
        return max(GRID, round(value / by / GRID) * GRID) if value > 0 else value
    if name == "megapixels":
        return max(0.01, round(value / by**2, 3))
    if name == "steps":
        return min(value, STEPS)
    if name in ("start_at_step", "end_at_step") and isinstance(steps, int) and value < steps:
        return round(value * min(1.0, STEPS / steps))
    return min(value, BATCH) if name == "batch_size" else value


def local_pictures(prompt: Prompt) -> Iterator[str]:
    """The pictures that a prompt opens, below the input folder; addresses are made names of it."""
    for node in prompt.values():
        name = _PICTURES.get(node["class_type"])
        if name is None or not isinstance(node["inputs"].get(name), str):
            continue
        given = node["inputs"][name]
        if "://" in given:
            given = node["inputs"][name] = PurePosixPath(given.partition("?")[0]).name
        yield re.sub(r" \[\w+\]$", "", given).replace("\\", "/")


def as_posix(prompt: Prompt) -> Prompt:
    """The same for a host that knows no backslashes in the names of files."""
    made = deepcopy(prompt)
    for node in made.values():
        for name, value in node["inputs"].items():
            if isinstance(value, str) and re.fullmatch(r"[^\n]*\\[^\n]*\.(safetensors|ckpt|pth?|bin)", value):
                node["inputs"][name] = value.replace("\\", "/")
    return made
