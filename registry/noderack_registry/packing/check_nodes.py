"""Rules on nodes: names that clash, declarations that no host can serve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from noderack_registry.packing.finding import Finding
from noderack_registry.packing.syntax import TypesFound

# Types of the field's core: a pack cannot replace them on any host.
CORE_TYPES = frozenset(
    [
        "KSampler",
        "KSamplerAdvanced",
        "CheckpointLoader",
        "CheckpointLoaderSimple",
        "unCLIPCheckpointLoader",
        "DiffusersLoader",
        "UNETLoader",
        "CLIPLoader",
        "DualCLIPLoader",
        "VAELoader",
        "LoraLoader",
        "LoraLoaderModelOnly",
        "ControlNetLoader",
        "CLIPVisionLoader",
        "StyleModelLoader",
        "GLIGENLoader",
        "CLIPTextEncode",
        "CLIPSetLastLayer",
        "CLIPVisionEncode",
        "ConditioningCombine",
        "ConditioningConcat",
        "ConditioningAverage",
        "ConditioningSetArea",
        "ConditioningSetMask",
        "ConditioningZeroOut",
        "ControlNetApply",
        "ControlNetApplyAdvanced",
        "VAEDecode",
        "VAEEncode",
        "VAEEncodeForInpaint",
        "VAEDecodeTiled",
        "VAEEncodeTiled",
        "EmptyLatentImage",
        "LatentUpscale",
        "LatentUpscaleBy",
        "LatentFromBatch",
        "RepeatLatentBatch",
        "LatentComposite",
        "LatentBlend",
        "LatentRotate",
        "LatentFlip",
        "LatentCrop",
        "SetLatentNoiseMask",
        "SaveLatent",
        "LoadLatent",
        "SaveImage",
        "PreviewImage",
        "LoadImage",
        "LoadImageMask",
        "ImageScale",
        "ImageScaleBy",
        "ImageInvert",
        "ImageBatch",
        "ImagePadForOutpaint",
        "EmptyImage",
        "Reroute",
        "PrimitiveNode",
        "Note",
        "MarkdownNote",
    ]
)


def scan(types: TypesFound, taken: Mapping[str, str], *, library: bool) -> Iterator[Finding]:
    """Findings on the node types that syntax shows."""
    for text in types.broken:
        yield Finding("import-fails", "error", text.partition(":")[0], 0, text, "mend what raises at import")
    for text in types.unseen:
        if text not in types.broken:
            mend = "write the mapping as a literal, so that registries can list the nodes"
            yield Finding("unseen-types", "note", text.partition(":")[0], 0, text, mend)
    if not types.node_types and not types.unseen and not library:
        mend = "fill NODE_CLASS_MAPPINGS, or set library = true in [tool.noderack]"
        yield Finding("no-nodes", "warning", ".", 0, "no node types were found", mend)
    yield from clashes(types.node_types, types.places, taken)
    for name, entry in types.node_types.items():
        file, line = types.places.get(name, (".", 0))
        for rule, message, mend in _schema(entry):
            yield Finding(rule, "error", file, line, f"{name}: {message}", mend)


def clashes(
    names: Iterable[str], places: Mapping[str, tuple[str, int]], taken: Mapping[str, str]
) -> Iterator[Finding]:
    """Findings on names that the core or another pack (`taken`: node type to pack) has already."""
    for name in names:
        file, line = places.get(name, (".", 0))
        yield from _clash(name, file, line, taken)


def _clash(name: str, file: str, line: int, taken: Mapping[str, str]) -> Iterator[Finding]:
    mend = f'give it a name of your own, such as "{name} (my pack)"'
    if name in CORE_TYPES:
        yield Finding("type-clash", "error", file, line, f"{name} is a node type of the core", mend)
    elif name in taken:
        yield Finding(
            "type-clash", "warning", file, line, f"{name} is a node type of {taken[name]}, too", mend
        )


def _schema(entry: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    output, names = entry.get("output"), entry.get("output_name")
    flags = entry.get("output_is_list")
    if isinstance(output, list):
        for field, values in (("RETURN_NAMES", names), ("OUTPUT_IS_LIST", flags)):
            if isinstance(values, list) and len(values) > len(output):
                message = f"{field} has {len(values)} entries for {len(output)} outputs"
                yield "schema", message, f"give {field} one entry an output"
    inputs = entry.get("input")
    for section in ("required", "optional"):
        found = inputs.get(section) if isinstance(inputs, Mapping) else None
        for name, spec in (found or {}).items() if isinstance(found, Mapping) else ():
            yield from _input(name, spec)


def _input(name: str, spec: Any) -> Iterator[tuple[str, str, str]]:
    if spec is None:
        return
    if not isinstance(spec, list) or not spec:
        yield "schema", f"input {name} is {spec!r}, not a tuple", f'write ("{spec}",)'
        return
    options = spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}
    default = options.get("default")
    if isinstance(spec[0], list) and default is not None and _literal(spec[0]) and default not in spec[0]:
        yield "schema", f"input {name}: the default {default!r} is none of its choices", "choose one of them"
    low, high = _number(options.get("min"), -math.inf), _number(options.get("max"), math.inf)
    if low > high:
        yield "schema", f"input {name}: min {low} is above max {high}", "swap them"
    elif spec[0] in ("INT", "FLOAT") and not low <= _number(default, low) <= high:
        yield "schema", f"input {name}: the default {default} is outside {low}..{high}", "move it inside"


def _number(value: Any, otherwise: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _literal(choices: Sequence[Any]) -> bool:
    return bool(choices) and all(isinstance(choice, str | int | float) for choice in choices)
