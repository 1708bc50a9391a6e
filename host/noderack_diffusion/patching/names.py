"""Names that packs write on a handle: some are parts of its changes, others are the packs' own."""

from dataclasses import fields
from typing import Any, TypeVar

from noderack_diffusion.patching.changes import Changes

Handle = TypeVar("Handle", bound=type)
PARTS = {
    "model_options": "options",
    "object_patches": "objects",
    "wrappers": "wrappers",
    "callbacks": "callbacks",
    "attachments": "attachments",
    "injections": "injections",
    "additional_models": "additional",
}
"""Dicts that packs put in place whole, and which part of the handle's changes each is."""


def open_to_names(cls: Handle) -> Handle:
    """A frozen class of handles on which packs may write what is no field: a clone does not have it."""
    frozen: Any = cls.__setattr__
    own = {one.name for one in fields(cls)}

    def write(self: Any, name: str, value: Any) -> None:
        changes: Changes = self.changes
        if name in PARTS:
            setattr(changes, PARTS[name], value)
        elif name in own:
            frozen(self, name, value)  # raises FrozenInstanceError
        else:
            object.__setattr__(self, name, value)

    type.__setattr__(cls, "__setattr__", write)
    return cls
