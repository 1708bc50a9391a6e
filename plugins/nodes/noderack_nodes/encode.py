"""From words to a CONDITIONING."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.errors import NodeInputError
from noderack_nodes.places import model_names, model_path
from noderack_nodes.sockets import (
    CLIP,
    CONDITIONING,
    IMAGE,
    MAX_RESOLUTION,
    Conditioning,
    Inputs,
    Mappings,
    Node,
    choice,
    integer,
    number,
    text,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_SIDE, _CORNER = integer(1024, 0, MAX_RESOLUTION), integer(0, 0, MAX_RESOLUTION)


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
        return (clip.conditioning(clip.tokenize(text)),)


class CLIPTextEncodeSDXL(Node):
    """A text for each of SDXL's encoders, and the sizes that the model is told."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "clip": CLIP,
            "width": _SIDE,
            "height": _SIDE,
            "crop_w": _CORNER,
            "crop_h": _CORNER,
            "target_width": _SIDE,
            "target_height": _SIDE,
            "text_g": text(dynamicPrompts=True),
            "text_l": text(dynamicPrompts=True),
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "advanced/conditioning"
    FUNCTION = "execute"

    def execute(self, clip: Any, text_g: str, text_l: str, **sizes: int) -> tuple[Conditioning]:
        """A text that is shorter than the other is filled up with empty chunks."""
        tokens = clip.tokenize(text_g)
        tokens["l"] = clip.tokenize(text_l)["l"]
        empty, longest = clip.tokenize(""), max(map(len, tokens.values()))
        tokens = {name: chunks + empty[name] * (longest - len(chunks)) for name, chunks in tokens.items()}
        return (clip.conditioning(tokens, **sizes),)


class CLIPTextEncodeSDXLRefiner(Node):
    """A text for SDXL's refiner, with the size and the score that it is told."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "ascore": number(6.0, 0.0, 1000.0),
            "width": _SIDE,
            "height": _SIDE,
            "text": text(dynamicPrompts=True),
            "clip": CLIP,
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "advanced/conditioning"
    FUNCTION = "execute"

    def execute(self, clip: Any, ascore: float, width: int, height: int, text: str) -> tuple[Conditioning]:
        """A higher `ascore` asks for what people found more beautiful."""
        told = {"aesthetic_score": ascore, "width": width, "height": height}
        return (clip.conditioning(clip.tokenize(text), **told),)


class CLIPVisionEncode(Node):
    """A picture as CLIP sees it."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"clip_vision": ("CLIP_VISION",), "image": IMAGE, "crop": choice("center", "none")}
    }
    RETURN_TYPES = ("CLIP_VISION_OUTPUT",)
    CATEGORY = "conditioning"
    FUNCTION = "encode"

    def encode(self, clip_vision: Any, image: Tensor, crop: str) -> tuple[Any]:
        """The square in the middle, or the whole picture squeezed into one."""
        return (clip_vision.encode_image(image, crop=crop == "center"),)


class unCLIPConditioning(Node):
    """A picture beside a text, for models that were trained on what CLIP sees (unCLIP; SDXL as well)."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "conditioning": CONDITIONING,
            "clip_vision_output": ("CLIP_VISION_OUTPUT",),
            "strength": number(1.0, -10.0, 10.0),
            "noise_augmentation": number(0.0, 0.0, 1.0),
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning"
    FUNCTION = "apply_adm"

    def apply_adm(
        self, conditioning: Conditioning, clip_vision_output: Any, strength: float, noise_augmentation: float
    ) -> tuple[Conditioning]:
        """With more `noise_augmentation` less of the picture is kept; several nodes add up."""
        if strength == 0:
            return (conditioning,)
        told = {"clip_vision_output": clip_vision_output, "strength": strength}
        one = {**told, "noise_augmentation": noise_augmentation}
        key = "unclip_conditioning"
        return ([[text, {**options, key: [*options.get(key, ()), one]}] for text, options in conditioning],)


class StyleModelLoader(Node):
    """A model that makes words of pictures."""

    RETURN_TYPES = ("STYLE_MODEL",)
    CATEGORY = "loaders"
    FUNCTION = "load_style_model"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The files in models/style_models now."""
        return {"required": {"style_model_name": (model_names("style_models"),)}}

    def load_style_model(self, style_model_name: str) -> tuple[Any]:
        """T2I's style adapters."""
        from noderack_diffusion.style import load_style

        return (load_style(model_path("style_models", style_model_name)),)


class StyleModelApply(Node):
    """A picture's style as further words of a prompt."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "conditioning": CONDITIONING,
            "style_model": ("STYLE_MODEL",),
            "clip_vision_output": ("CLIP_VISION_OUTPUT",),
            "strength": number(1.0, 0.0, 10.0, 0.001),
            "strength_type": choice("multiply", "attn_bias"),
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning/style_model"
    FUNCTION = "apply_stylemodel"

    def apply_stylemodel(
        self,
        conditioning: Conditioning,
        style_model: Any,
        clip_vision_output: Any,
        strength: float,
        strength_type: str,
    ) -> tuple[Conditioning]:
        """`strength` multiplies those words; as a bias of attention it is for families of another make."""
        import torch

        if strength_type == "attn_bias" and strength != 1.0:
            raise NodeInputError(
                "a bias of attention is for models whose text and picture attend together; "
                "choose strength_type multiply here"
            )
        words = style_model.get_cond(clip_vision_output).flatten(0, 1)[None] * strength
        return ([[torch.cat([text, words.to(text)], dim=1), dict(o)] for text, o in conditioning],)


class CLIPSetLastLayer(Node):
    """Read the text off an earlier layer ("clip skip"); -1 is the last one, -2 the one before."""

    INPUTS: ClassVar[Inputs] = {"required": {"clip": CLIP, "stop_at_clip_layer": integer(-1, -24, -1, 1)}}
    RETURN_TYPES = ("CLIP",)
    CATEGORY = "conditioning"
    FUNCTION = "set_last_layer"

    def set_last_layer(self, clip: Any, stop_at_clip_layer: int) -> tuple[Any]:
        """A new handle."""
        return (clip.with_layer(stop_at_clip_layer),)


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(CLIPTextEncode, CLIPTextEncodeSDXL, CLIPTextEncodeSDXLRefiner, CLIPVisionEncode),
        *(CLIPSetLastLayer, unCLIPConditioning, StyleModelLoader, StyleModelApply),
    )
}
NAMES = {
    "CLIPTextEncode": "CLIP Text Encode (Prompt)",
    "CLIPSetLastLayer": "CLIP Set Last Layer",
    "CLIPVisionEncode": "CLIP Vision Encode",
    "StyleModelLoader": "Load Style Model",
    "StyleModelApply": "Apply Style Model",
}
