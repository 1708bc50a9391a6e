"""ControlNets and GLIGEN: a picture, or boxes, that steer what a conditioning asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.errors import NodeInputError
from noderack_nodes.places import model_names, model_path, reads
from noderack_nodes.sockets import (
    CLIP,
    CONDITIONING,
    CONTROL_NET,
    IMAGE,
    MASK,
    MODEL,
    VAE,
    Conditioning,
    Inputs,
    Mappings,
    Node,
    choice,
    number,
    pixels,
    text,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_STRENGTH = number(1.0, 0.0, 10.0)
_PART = {"low": 0.0, "high": 1.0, "step": 0.001}


@reads(control_net_name="controlnet")
class ControlNetLoader(Node):
    """A ControlNet file, in the original names or in diffusers'."""

    RETURN_TYPES = ("CONTROL_NET",)
    CATEGORY = "loaders"
    FUNCTION = "load_controlnet"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The ControlNets in the model folders now."""
        return {"required": {"control_net_name": (model_names("controlnet"),)}}

    def load_controlnet(self, control_net_name: str) -> tuple[Any]:
        """The file is mapped into memory, not copied."""
        from noderack_diffusion.control_load import load_controlnet

        return (load_controlnet(model_path("controlnet", control_net_name)),)


class ControlNetApply(Node):
    """Steers one conditioning; the other side of the guidance follows it."""

    DEPRECATED = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "conditioning": CONDITIONING,
            "control_net": CONTROL_NET,
            "image": IMAGE,
            "strength": _STRENGTH,
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning/controlnet"
    FUNCTION = "apply_controlnet"

    def apply_controlnet(
        self, conditioning: Conditioning, control_net: Any, image: Tensor, strength: float
    ) -> tuple[Conditioning]:
        """At strength 0 the conditioning as it came."""
        if strength == 0:
            return (conditioning,)
        steered = _steered(conditioning, control_net, image, (strength, 0.0, 1.0))
        return ([[tensor, {**options, "control_apply_to_uncond": True}] for tensor, options in steered],)


class ControlNetApplyAdvanced(Node):
    """Steers both sides of the guidance for a part of the way."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "positive": CONDITIONING,
            "negative": CONDITIONING,
            "control_net": CONTROL_NET,
            "image": IMAGE,
            "strength": _STRENGTH,
            "start_percent": number(0.0, **_PART),
            "end_percent": number(1.0, **_PART),
        },
        "optional": {"vae": VAE},
    }
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING")
    RETURN_NAMES = ("positive", "negative")
    CATEGORY = "conditioning/controlnet"
    FUNCTION = "apply_controlnet"

    def apply_controlnet(
        self,
        positive: Conditioning,
        negative: Conditioning,
        control_net: Any,
        image: Tensor,
        strength: float,
        start_percent: float,
        end_percent: float,
        vae: Any = None,
        extra_concat: Any = (),
    ) -> tuple[Conditioning, Conditioning]:
        """`vae` and `extra_concat` are for ControlNets of families whose hint is a latent; those here read
        the picture."""
        if strength == 0:
            return positive, negative
        how = (strength, start_percent, end_percent)
        made: dict[int, Any] = {}  # one control for all who came with the same one before
        one, other = (_steered(side, control_net, image, how, made) for side in (positive, negative))
        return one, other


@reads(control_net_name="controlnet")
class DiffControlNetLoader(Node):
    """A file that holds how a ControlNet differs from the model that it was made from."""

    RETURN_TYPES = ("CONTROL_NET",)
    CATEGORY = "loaders"
    FUNCTION = "load_controlnet"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The ControlNets in the model folders now."""
        return {"required": {"model": MODEL, "control_net_name": (model_names("controlnet"),)}}

    def load_controlnet(self, model: Any, control_net_name: str) -> tuple[Any]:
        """The model's weights are added; a file of another kind is loaded as it is."""
        from noderack_diffusion.control_load import load_controlnet

        return (load_controlnet(model_path("controlnet", control_net_name), model=model),)


KINDS = {
    "openpose": 0,
    "depth": 1,
    "hed/pidi/scribble/ted": 2,
    "canny/lineart/anime_lineart/mlsd": 3,
    "normal": 4,
    "segment": 5,
    "tile": 6,
    "repaint": 7,
}
"""The kinds of pictures that a ControlNet for all of them was trained on."""


class SetUnionControlNetType(Node):
    """Tells a ControlNet for many kinds of pictures which kind it gets."""

    INPUTS: ClassVar[Inputs] = {"required": {"control_net": CONTROL_NET, "type": choice("auto", *KINDS)}}
    RETURN_TYPES = ("CONTROL_NET",)
    CATEGORY = "conditioning/controlnet"
    FUNCTION = "set_controlnet_type"

    def set_controlnet_type(self, control_net: Any, type: str) -> tuple[Any]:
        """`auto` tells it nothing."""
        from dataclasses import replace

        if not hasattr(control_net, "kinds"):
            raise NodeInputError("this is no ControlNet, so it has no kinds of pictures")
        return (replace(control_net, kinds=(KINDS[type],) if type in KINDS else ()),)


class ControlNetApplySD3(ControlNetApplyAdvanced):
    """The same, for ControlNets of families whose hint is a latent."""

    DEPRECATED = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "positive": CONDITIONING,
            "negative": CONDITIONING,
            "control_net": CONTROL_NET,
            "vae": VAE,
            "image": IMAGE,
            "strength": _STRENGTH,
            "start_percent": number(0.0, **_PART),
            "end_percent": number(1.0, **_PART),
        }
    }


class ControlNetInpaintingAliMamaApply(ControlNetApplyAdvanced):
    """The same with a mask, for ControlNets that fill holes."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "positive": CONDITIONING,
            "negative": CONDITIONING,
            "control_net": CONTROL_NET,
            "vae": VAE,
            "image": IMAGE,
            "mask": MASK,
            "strength": _STRENGTH,
            "start_percent": number(0.0, **_PART),
            "end_percent": number(1.0, **_PART),
        }
    }
    FUNCTION = "apply_inpaint_controlnet"

    def apply_inpaint_controlnet(
        self, positive: Conditioning, negative: Conditioning, mask: Tensor, **given: Any
    ) -> tuple[Conditioning, Conditioning]:
        """The mask is for networks that take one beside the picture; those of these families take none."""
        return self.apply_controlnet(positive, negative, **given)


class CLIPTextEncodeControlnet(Node):
    """A text for the ControlNet alone, beside the one that the model gets."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {"clip": CLIP, "conditioning": CONDITIONING, "text": text(dynamicPrompts=True)}
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "_for_testing/conditioning"

    def run(self, clip: Any, conditioning: Conditioning, text: str) -> tuple[Conditioning]:
        """Every entry gets it."""
        tensor, pooled = clip.encode(text)
        told = {"cross_attn_controlnet": tensor, "pooled_output_controlnet": pooled}
        return ([[given, {**options, **told}] for given, options in conditioning],)


class GLIGENLoader(Node):
    """Gates that let words have a place."""

    RETURN_TYPES = ("GLIGEN",)
    CATEGORY = "loaders"
    FUNCTION = "load_gligen"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The files in models/gligen now."""
        return {"required": {"gligen_name": (model_names("gligen"),)}}

    def load_gligen(self, gligen_name: str) -> tuple[Any]:
        """For Stable Diffusion 1 as a rule: gates belong to one kind of U-Net."""
        from noderack_diffusion.gligen import load_gligen

        return (load_gligen(model_path("gligen", gligen_name)),)


class GLIGENTextBoxApply(Node):
    """A text that shall be drawn within a box."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "conditioning_to": CONDITIONING,
            "clip": CLIP,
            "gligen_textbox_model": ("GLIGEN",),
            "text": text(dynamicPrompts=True),
            "width": pixels(64, 8, 8),
            "height": pixels(64, 8, 8),
            "x": pixels(0, 0, 8),
            "y": pixels(0, 0, 8),
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning/gligen"
    FUNCTION = "append"

    def append(
        self,
        conditioning_to: Conditioning,
        clip: Any,
        gligen_textbox_model: Any,
        text: str,
        width: int,
        height: int,
        x: int,
        y: int,
    ) -> tuple[Conditioning]:
        """The text is in the whole prompt too, as a rule; several nodes place several texts."""
        row = (clip.encode(text)[1], height // 8, width // 8, y // 8, x // 8)
        found = []
        for tensor, options in conditioning_to:
            before = options.get("gligen", ("position", None, []))[2]
            placed = ("position", gligen_textbox_model, [*before, row])
            found.append([tensor, {**options, "gligen": placed}])
        return (found,)


def _steered(
    conditioning: Conditioning,
    control_net: Any,
    image: Tensor,
    how: tuple[float, float, float],
    made: dict[int, Any] | None = None,
) -> Conditioning:
    """Every entry with this control after those that it has; entries which share one can be batched."""
    made = {} if made is None else made
    found = []
    for tensor, options in conditioning:
        before = options.get("control")
        if id(before) not in made:
            made[id(before)] = _after(control_net, image, how, before)
        found.append([tensor, {**options, "control": made[id(before)], "control_apply_to_uncond": False}])
    return found


def _after(control_net: Any, image: Tensor, how: tuple[float, float, float], before: Any) -> Any:
    """The control over the picture, after another; in the field's way where one of both is of a pack."""
    if hasattr(control_net, "given") and (before is None or hasattr(before, "residuals")):
        return control_net.given(image, *how).after(before)
    strength, start, end = how
    made = control_net.copy().set_cond_hint(image.movedim(-1, 1), strength, (start, end))
    return made.set_previous_controlnet(before)


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(ControlNetLoader, ControlNetApply, ControlNetApplyAdvanced, DiffControlNetLoader),
        *(SetUnionControlNetType, ControlNetApplySD3, ControlNetInpaintingAliMamaApply),
        CLIPTextEncodeControlnet,
        *(GLIGENLoader, GLIGENTextBoxApply),
    )
}
NAMES = {
    "ControlNetLoader": "Load ControlNet Model",
    "DiffControlNetLoader": "Load ControlNet Model (diff)",
    "ControlNetApplySD3": "Apply Controlnet with VAE",
    "ControlNetApply": "Apply ControlNet (OLD)",
    "ControlNetApplyAdvanced": "Apply ControlNet",
}
