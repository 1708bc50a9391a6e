"""Conditionings: joined, averaged, and told where and when they hold.

A CONDITIONING is a list of [text tensor, options]; every node here gives new lists and new option tables, for
other branches of the workflow hold the old ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.hook_conditioning import as_default
from noderack_nodes.latent import crop_to_grid, fit_mask, hide
from noderack_nodes.sockets import (
    CONDITIONING,
    IMAGE,
    MASK,
    VAE,
    Conditioning,
    Inputs,
    Latent,
    Mappings,
    Node,
    choice,
    flag,
    number,
    pixels,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor


def with_options(conditioning: Conditioning, **options: Any) -> Conditioning:
    """The same texts with these options set."""
    return [[tensor, {**have, **options}] for tensor, have in conditioning]


class ConditioningCombine(Node):
    """Both at once: the sampler averages what they predict."""

    INPUTS: ClassVar[Inputs] = {"required": {"conditioning_1": CONDITIONING, "conditioning_2": CONDITIONING}}
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning"
    FUNCTION = "combine"

    def combine(self, conditioning_1: Conditioning, conditioning_2: Conditioning) -> tuple[Conditioning]:
        """One list after the other."""
        return (conditioning_1 + conditioning_2,)


class ConditioningConcat(Node):
    """One text after the other, as one longer text."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"conditioning_to": CONDITIONING, "conditioning_from": CONDITIONING}
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning"
    FUNCTION = "concat"

    def concat(self, conditioning_to: Conditioning, conditioning_from: Conditioning) -> tuple[Conditioning]:
        """The first text of `from` is added to each text of `to`, along the tokens."""
        import torch

        tail = conditioning_from[0][0]
        return ([[torch.cat((tensor, tail), 1), dict(options)] for tensor, options in conditioning_to],)


class ConditioningAverage(Node):
    """Between two texts."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "conditioning_to": CONDITIONING,
            "conditioning_from": CONDITIONING,
            "conditioning_to_strength": number(1.0, 0.0, 1.0),
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning"
    FUNCTION = "addWeighted"

    def addWeighted(
        self,
        conditioning_to: Conditioning,
        conditioning_from: Conditioning,
        conditioning_to_strength: float,
    ) -> tuple[Conditioning]:
        """`conditioning_to_strength` of `to`; the first text of `from` is fitted to its length."""
        other, other_options = conditioning_from[0]
        weight, pooled = conditioning_to_strength, other_options.get("pooled_output")
        return ([_blend(tensor, options, other, pooled, weight) for tensor, options in conditioning_to],)


def _blend(
    tensor: Tensor, options: dict[str, Any], other: Tensor, pooled: Tensor | None, weight: float
) -> list[Any]:
    import torch

    other = other[:, : tensor.shape[1]]
    other = torch.nn.functional.pad(other, (0, 0, 0, tensor.shape[1] - other.shape[1]))
    mixed = dict(options)
    if pooled is not None:
        mixed["pooled_output"] = options.get("pooled_output", pooled) * weight + pooled * (1.0 - weight)
    return [tensor * weight + other * (1.0 - weight), mixed]


class ConditioningSetArea(Node):
    """Only in a rectangle, in pixels."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "conditioning": CONDITIONING,
            "width": pixels(64, 64, 8),
            "height": pixels(64, 64, 8),
            "x": pixels(0, 0, 8),
            "y": pixels(0, 0, 8),
            "strength": number(1.0, 0.0, 10.0),
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning"
    FUNCTION = "append"

    def append(
        self, conditioning: Conditioning, width: int, height: int, x: int, y: int, strength: float
    ) -> tuple[Conditioning]:
        """The area is kept in latent cells: (height, width, y, x) / 8."""
        area = (height // 8, width // 8, y // 8, x // 8)
        return (with_options(conditioning, area=area, strength=strength, set_area_to_bounds=False),)


class ConditioningSetAreaPercentage(Node):
    """Only in a rectangle, in parts of the picture."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "conditioning": CONDITIONING,
            "width": number(1.0, 0, 1.0),
            "height": number(1.0, 0, 1.0),
            "x": number(0, 0, 1.0),
            "y": number(0, 0, 1.0),
            "strength": number(1.0, 0.0, 10.0),
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning"
    FUNCTION = "append"

    def append(
        self, conditioning: Conditioning, width: float, height: float, x: float, y: float, strength: float
    ) -> tuple[Conditioning]:
        """0 is one edge, 1 the other."""
        area = ("percentage", height, width, y, x)
        return (with_options(conditioning, area=area, strength=strength, set_area_to_bounds=False),)


class ConditioningSetAreaStrength(Node):
    """How much a text counts."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"conditioning": CONDITIONING, "strength": number(1.0, 0.0, 10.0)}
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning"
    FUNCTION = "append"

    def append(self, conditioning: Conditioning, strength: float) -> tuple[Conditioning]:
        """Set on each text."""
        return (with_options(conditioning, strength=strength),)


class ConditioningSetMask(Node):
    """Only where a mask is set."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "conditioning": CONDITIONING,
            "mask": MASK,
            "strength": number(1.0, 0.0, 10.0),
            "set_cond_area": choice("default", "mask bounds"),
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "conditioning"
    FUNCTION = "append"

    def append(
        self, conditioning: Conditioning, mask: Tensor, set_cond_area: str, strength: float
    ) -> tuple[Conditioning]:
        """`mask bounds` computes only the rectangle around the mask."""
        batched = mask.unsqueeze(0) if mask.dim() < 3 else mask
        bounds = set_cond_area != "default"
        return (with_options(conditioning, mask=batched, set_area_to_bounds=bounds, mask_strength=strength),)


class ConditioningZeroOut(Node):
    """No text at all: zeros, which is not the same as an empty text."""

    INPUTS: ClassVar[Inputs] = {"required": {"conditioning": CONDITIONING}}
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "advanced/conditioning"
    FUNCTION = "zero_out"

    def zero_out(self, conditioning: Conditioning) -> tuple[Conditioning]:
        """Zeros of the same shapes."""
        zeroed = []
        for tensor, options in conditioning:
            pooled = options.get("pooled_output")
            cleared = {} if pooled is None else {"pooled_output": pooled * 0}
            zeroed.append([tensor * 0, {**options, **cleared}])
        return (zeroed,)


class ConditioningSetTimestepRange(Node):
    """Only in a part of the sampling, 0 being its begin and 1 its end."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "conditioning": CONDITIONING,
            "start": number(0.0, 0.0, 1.0, 0.001),
            "end": number(1.0, 0.0, 1.0, 0.001),
        }
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "advanced/conditioning"
    FUNCTION = "set_range"

    def set_range(self, conditioning: Conditioning, start: float, end: float) -> tuple[Conditioning]:
        """Parts of the noise schedule, not of the step count."""
        return (with_options(conditioning, start_percent=start, end_percent=end),)


class InpaintModelConditioning(Node):
    """What an inpainting model wants beside the texts: the picture with a hole, and the hole."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "positive": CONDITIONING,
            "negative": CONDITIONING,
            "vae": VAE,
            "pixels": IMAGE,
            "mask": MASK,
            "noise_mask": flag(True),
        }
    }
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING", "LATENT")
    RETURN_NAMES = ("positive", "negative", "latent")
    CATEGORY = "conditioning/inpaint"
    FUNCTION = "encode"

    def encode(
        self,
        positive: Conditioning,
        negative: Conditioning,
        pixels: Tensor,
        vae: Any,
        mask: Tensor,
        noise_mask: bool = True,
    ) -> tuple[Conditioning, Conditioning, Latent]:
        """With `noise_mask` the sampler leaves the rest of the picture alone."""
        image, fitted = fit_mask(pixels, mask)
        options = {"concat_latent_image": vae.encode(hide(image, fitted)), "concat_mask": fitted}
        latent: Latent = {"samples": vae.encode(image)}
        if noise_mask:
            latent["noise_mask"] = fitted
        return with_options(positive, **options), with_options(negative, **options), latent


class InstructPixToPixConditioning(Node):
    """What an instruction model wants beside the texts: the picture that is to be changed."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"positive": CONDITIONING, "negative": CONDITIONING, "vae": VAE, "pixels": IMAGE}
    }
    RETURN_TYPES = ("CONDITIONING", "CONDITIONING", "LATENT")
    RETURN_NAMES = ("positive", "negative", "latent")
    CATEGORY = "conditioning/instructpix2pix"
    FUNCTION = "encode"

    def encode(
        self, positive: Conditioning, negative: Conditioning, pixels: Tensor, vae: Any
    ) -> tuple[Conditioning, Conditioning, Latent]:
        """The latent is an empty one of the picture's size."""
        seen = vae.encode(crop_to_grid(pixels))
        yes, no = (with_options(side, concat_latent_image=seen) for side in (positive, negative))
        return yes, no, {"samples": seen.new_zeros(seen.shape)}


class ConditioningSetDefaultCombine(Node):
    """Adds what holds wherever no other entry does, as far as their masks and strengths leave room."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {"cond": CONDITIONING, "cond_DEFAULT": CONDITIONING},
        "optional": {"hooks": ("HOOKS",)},
    }
    RETURN_TYPES = ("CONDITIONING",)
    CATEGORY = "advanced/hooks/cond single"
    FUNCTION = "set_default_and_combine"

    def set_default_and_combine(
        self,
        cond: Conditioning,
        cond_DEFAULT: Conditioning,
        hooks: Any = None,
    ) -> tuple[Conditioning]:
        """`hooks` go onto the default alone."""
        return (cond + as_default(cond_DEFAULT, hooks),)


_ALL: tuple[type[Node], ...] = (
    ConditioningCombine,
    ConditioningConcat,
    ConditioningAverage,
    ConditioningSetArea,
    ConditioningSetAreaPercentage,
    ConditioningSetAreaStrength,
    ConditioningSetMask,
    ConditioningZeroOut,
    ConditioningSetTimestepRange,
    InpaintModelConditioning,
    InstructPixToPixConditioning,
    ConditioningSetDefaultCombine,
)
NODES: Mappings = {node.__name__: node for node in _ALL} | {"ConditioningAverage ": ConditioningAverage}
"""The name with the space at its end is the one that this node had at first, and that old files have."""
NAMES = {
    "ConditioningCombine": "Conditioning (Combine)",
    "ConditioningConcat": "Conditioning (Concat)",
    "ConditioningSetArea": "Conditioning (Set Area)",
    "ConditioningSetAreaPercentage": "Conditioning (Set Area with Percentage)",
    "ConditioningSetMask": "Conditioning (Set Mask)",
    "ConditioningSetDefaultCombine": "Cond Set Default Combine",
}
