"""PHOTOMAKER: persons in prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.places import model_names, model_path
from noderack_nodes.sockets import CLIP, IMAGE, Conditioning, Inputs, Mappings, Node, combo, text

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor


class PhotoMakerLoader(Node):
    """PhotoMaker from a file."""

    EXPERIMENTAL = True
    RETURN_TYPES = ("PHOTOMAKER",)
    CATEGORY = "_for_testing/photomaker"
    FUNCTION = "load_photomaker_model"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The files in models/photomaker now."""
        return {"required": {"photomaker_model_name": combo(*model_names("photomaker"))}}

    def load_photomaker_model(self, photomaker_model_name: str) -> tuple[Any]:
        """The first version; the LoRA in the file is not applied (save it apart, and load it as one)."""
        from noderack_diffusion.photomaker import load_photomaker

        return (load_photomaker(model_path("photomaker", photomaker_model_name)),)


class PhotoMakerEncode(Node):
    """A prompt with a person in it: the word before "photomaker" becomes the one of the picture."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "photomaker": ("PHOTOMAKER",),
            "image": IMAGE,
            "clip": CLIP,
            "text": text(dynamicPrompts=True, default="photograph of photomaker"),
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "_for_testing/photomaker"
    FUNCTION = "apply_photomaker"

    def apply_photomaker(self, photomaker: Any, image: Tensor, clip: Any, text: str) -> tuple[Conditioning]:
        """For SDXL."""
        states, pooled = photomaker.encode(clip, image, text)
        return ([[states, {"pooled_output": pooled}]],)


NODES: Mappings = {"PhotoMakerLoader": PhotoMakerLoader, "PhotoMakerEncode": PhotoMakerEncode}
NAMES: dict[str, str] = {}
