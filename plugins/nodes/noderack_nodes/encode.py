"""From words to a CONDITIONING."""

from __future__ import annotations

from typing import Any, ClassVar

from noderack_nodes.errors import NodeInputError
from noderack_nodes.sockets import CLIP, Conditioning, Inputs, Mappings, Node, integer, text


class CLIPTextEncode(Node):
    """A text as the model reads it."""

    INPUTS: ClassVar[Inputs] = {"required": {"text": text(dynamicPrompts=True), "clip": CLIP}}
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning"
    FUNCTION = "encode"

    def encode(self, clip: Any, text: str) -> tuple[Conditioning]:
        """One entry; the pooled text rides along in its options where the encoder has one."""
        if clip is None:
            raise NodeInputError("the clip input is empty: this checkpoint brought no text encoder; load one")
        tensor, pooled = clip.encode(text)
        return ([[tensor, {"pooled_output": pooled}]],)


class CLIPSetLastLayer(Node):
    """Read the text off an earlier layer ("clip skip"); -1 is the last one, -2 the one before."""

    INPUTS: ClassVar[Inputs] = {"required": {"clip": CLIP, "stop_at_clip_layer": integer(-1, -24, -1, 1)}}
    RETURN_TYPES = ("CLIP",)
    CATEGORY = "conditioning"
    FUNCTION = "set_last_layer"

    def set_last_layer(self, clip: Any, stop_at_clip_layer: int) -> tuple[Any]:
        """A new handle."""
        return (clip.with_layer(stop_at_clip_layer),)


NODES: Mappings = {"CLIPTextEncode": CLIPTextEncode, "CLIPSetLastLayer": CLIPSetLastLayer}
NAMES = {"CLIPTextEncode": "CLIP Text Encode (Prompt)", "CLIPSetLastLayer": "CLIP Set Last Layer"}
