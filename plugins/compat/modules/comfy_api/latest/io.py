"""`comfy_api.latest.io`: everything that a schema is written with."""

from typing import Any

from noderack_compat.missing import gap
from noderack_compat.v3 import ComfyNode, NodeOutput, Schema
from noderack_compat.v3_types import (
    KINDS,
    ControlAfterGenerate,
    FolderType,
    Hidden,
    Input,
    NumberDisplay,
    Output,
    UploadType,
)

__all__ = [
    "ComfyNode",
    "ControlAfterGenerate",
    "FolderType",
    "Hidden",
    "Input",
    "NodeOutput",
    "NumberDisplay",
    "Output",
    "Schema",
    "UploadType",
]
_missing = gap("comfy_api.latest.io")
WidgetInput = Input
globals().update(KINDS)


def __getattr__(name: str) -> Any:
    """Socket types that came later: any capitalised name is a type of its own."""
    if name[:1].isupper():
        from noderack_compat.v3_types import kind

        return kind(name, name.upper())
    return _missing(name)
