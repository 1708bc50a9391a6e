"""Values as nodes, and a node that shows any value."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from noderack_nodes.sockets import Inputs, Mappings, Node

_MAX = 9223372036854775807


class PrimitiveString(Node):
    """A line of text."""

    INPUTS: ClassVar[Inputs] = {"required": {"value": ("STRING", {"multiline": False})}}
    RETURN_TYPES = ("STRING",)
    CATEGORY = "utils/primitive"

    def run(self, value: Any) -> tuple[Any]:
        """The value as it is."""
        return (value,)


class PrimitiveStringMultiline(PrimitiveString):
    """A text."""

    INPUTS: ClassVar[Inputs] = {"required": {"value": ("STRING", {"multiline": True})}}


class PrimitiveInt(PrimitiveString):
    """A whole number."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"value": ("INT", {"min": -_MAX, "max": _MAX, "control_after_generate": True})}
    }
    RETURN_TYPES = ("INT",)


class PrimitiveFloat(PrimitiveString):
    """A number."""

    INPUTS: ClassVar[Inputs] = {"required": {"value": ("FLOAT", {"min": -_MAX, "max": _MAX})}}
    RETURN_TYPES = ("FLOAT",)


class PrimitiveBoolean(PrimitiveString):
    """Yes or no."""

    INPUTS: ClassVar[Inputs] = {"required": {"value": ("BOOLEAN", {})}}
    RETURN_TYPES = ("BOOLEAN",)


class PreviewAny(Node):
    """Shows any value as text."""

    INPUTS: ClassVar[Inputs] = {"required": {"source": ("*", {})}}
    RETURN_TYPES = ("STRING",)
    OUTPUT_NODE = True
    CATEGORY = "utils"

    def run(self, source: Any = None) -> dict[str, Any]:
        """Text as it is, other values as JSON where that is possible."""
        shown = _shown(source)
        return {"ui": {"text": (shown,)}, "result": (shown,)}

    @classmethod
    def VALIDATE_INPUTS(cls, input_types: dict[str, str]) -> bool:
        """Any type may be linked here."""
        return True


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, int | float | bool):
        return str(value)
    try:
        return json.dumps(value, indent=4, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


NODES: Mappings = {
    node.__name__: node
    for node in (
        PrimitiveString,
        PrimitiveStringMultiline,
        PrimitiveInt,
        PrimitiveFloat,
        PrimitiveBoolean,
        PreviewAny,
    )
}
NAMES = {
    "PrimitiveString": "String",
    "PrimitiveStringMultiline": "String (Multiline)",
    "PrimitiveInt": "Int",
    "PrimitiveFloat": "Float",
    "PrimitiveBoolean": "Boolean",
    "PreviewAny": "Preview Any",
}
