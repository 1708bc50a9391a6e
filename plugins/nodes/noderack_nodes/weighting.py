"""What weights in a prompt do."""

from __future__ import annotations

from typing import Any, ClassVar

from noderack_nodes.sockets import CLIP, Inputs, Mappings, Node, choice

_WAYS = ("comfy", "A1111", "compel", "down_weight", "comfy++")
_EVENING = ("none", "mean", "length", "length+mean")


class NoderackClipWeighting(Node):
    """How `(words:1.2)` in prompts are read, for every node that encodes a text with this CLIP."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "clip": CLIP,
            "weight_interpretation": choice(*_WAYS),
            "token_normalization": choice(*_EVENING),
        }
    }
    RETURN_TYPES = ("CLIP",)
    CATEGORY = "conditioning"
    FUNCTION = "set_weighting"

    def set_weighting(
        self, clip: Any, weight_interpretation: str, token_normalization: str = "none"
    ) -> tuple[Any]:
        """`A1111` draws prompts as that program does, `down_weight` never makes anything stronger."""
        return (clip.with_weighting(weight_interpretation, token_normalization),)


NODES: Mappings = {"NoderackClipWeighting": NoderackClipWeighting}
NAMES = {"NoderackClipWeighting": "Set CLIP Weighting"}
