"""The nodes, in the class contract V1: each describes its inputs and hands the work to a function."""

from typing import Any

import torch
from torch import Tensor

from . import grade
from .grain import add_grain

Inputs = dict[str, dict[str, tuple[Any, ...]]]


def _slider(default: float, low: float, high: float, step: float, tooltip: str) -> tuple[str, dict[str, Any]]:
    return ("FLOAT", {"default": default, "min": low, "max": high, "step": step, "tooltip": tooltip})


def _on_colour(image: Tensor, colour: Tensor) -> Tensor:
    """Puts a changed RGB back beside the alpha channel, if there was one."""
    return torch.cat([colour, image[..., 3:]], dim=-1) if image.shape[-1] > 3 else colour


class FilmGrain:
    DESCRIPTION = "Adds film grain. The same seed gives the same grain."
    CATEGORY = "image/film"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "Pictures, 0 to 1."}),
                "amount": _slider(0.2, 0.0, 1.0, 0.01, "0 is none; 0.2 is a fine stock; 1 is a pushed one."),
                "size": _slider(1.5, 1.0, 16.0, 0.1, "Width of a grain in pixels."),
                "colour": _slider(
                    0.15, 0.0, 1.0, 0.01, "0 is black-and-white grain, 1 is independent per channel."
                ),
                "shadows": _slider(0.4, 0.0, 1.0, 0.01, "How much of the grain shows at black."),
                "highlights": _slider(0.2, 0.0, 1.0, 0.01, "How much of the grain shows at white."),
                "seed": (
                    "INT",
                    {"default": 0, "min": 0, "max": 0xFFFFFFFFFFFFFFFF, "control_after_generate": True},
                ),
            }
        }

    def apply(self, image: Tensor, amount: float, seed: int, **settings: float) -> tuple[Tensor]:
        if amount == 0:
            return (image,)
        # Two numbers of the seed are used per picture: one for mono, one for colour.
        grained = [
            add_grain(picture[..., :3], amount=amount, seed=seed + 2 * index, **settings)
            for index, picture in enumerate(image)
        ]
        return (_on_colour(image, torch.stack(grained)),)


class ColourGrade:
    DESCRIPTION = (
        "Exposure, white balance, contrast, lift/gamma/gain and saturation. The defaults change nothing."
    )
    CATEGORY = "image/film"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image": ("IMAGE",),
                "exposure": _slider(0.0, -4.0, 4.0, 0.05, "In stops: +1 doubles the light."),
                "temperature": _slider(0.0, -1.0, 1.0, 0.01, "Below 0 cooler, above 0 warmer."),
                "tint": _slider(0.0, -1.0, 1.0, 0.01, "Below 0 greener, above 0 more magenta."),
                "contrast": _slider(1.0, 0.0, 2.0, 0.01, "1 changes nothing."),
                "lift": _slider(0.0, -0.5, 0.5, 0.005, "Raises or lowers the blacks."),
                "gamma": _slider(1.0, 0.2, 4.0, 0.01, "Brightens the mid-tones above 1, darkens them below."),
                "gain": _slider(1.0, 0.0, 2.0, 0.01, "Scales the whites."),
                "saturation": _slider(1.0, 0.0, 2.0, 0.01, "0 is black and white."),
                "vibrance": _slider(
                    0.0, -1.0, 1.0, 0.01, "Saturation that spares what is colourful already."
                ),
            },
            "optional": {
                "pivot": _slider(0.5, 0.0, 1.0, 0.01, "The brightness that contrast leaves alone."),
                "mask": ("MASK", {"tooltip": "Grade only here (white)."}),
            },
        }

    def apply(
        self,
        *,
        image: Tensor,
        exposure: float,
        temperature: float,
        tint: float,
        contrast: float,
        lift: float,
        gamma: float,
        gain: float,
        saturation: float,
        vibrance: float,
        pivot: float = 0.5,
        mask: Tensor | None = None,
    ) -> tuple[Tensor]:
        before = image[..., :3]
        after = grade.expose(before, exposure)
        after = grade.balance(after, temperature, tint)
        after = grade.contrast(after, contrast, pivot)
        after = grade.lift_gamma_gain(after, lift, gamma, gain)
        after = grade.saturate(after, saturation, vibrance)
        if after is before:
            return (image,)
        after = after.clamp(0.0, 1.0)
        if mask is not None:
            after = torch.lerp(before, after, _mask_over(mask, before))
        return (_on_colour(image, after),)


def _mask_over(mask: Tensor, image: Tensor) -> Tensor:
    """A mask [B, h, w] or [h, w], scaled to the picture and repeated over its batch as [B, H, W, 1]."""
    mask = mask if mask.ndim == 3 else mask[None]
    if mask.shape[-2:] != image.shape[1:3]:
        mask = torch.nn.functional.interpolate(mask[:, None], size=image.shape[1:3], mode="bilinear")[:, 0]
    repeats = -(-image.shape[0] // mask.shape[0])
    return mask.repeat(repeats, 1, 1)[: image.shape[0], ..., None].to(image)


class SplitTone:
    DESCRIPTION = "Mixes one hue into the shadows and another into the highlights."
    CATEGORY = "image/film"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image": ("IMAGE",),
                "shadow_hue": _slider(200.0, 0.0, 360.0, 1.0, "In degrees: 0 red, 120 green, 240 blue."),
                "shadow_strength": _slider(0.15, 0.0, 1.0, 0.01, "0 leaves the shadows alone."),
                "highlight_hue": _slider(35.0, 0.0, 360.0, 1.0, "In degrees: 0 red, 120 green, 240 blue."),
                "highlight_strength": _slider(0.15, 0.0, 1.0, 0.01, "0 leaves the highlights alone."),
                "midpoint": _slider(
                    0.5, 0.0, 1.0, 0.01, "The brightness where one hue gives way to the other."
                ),
            }
        }

    def apply(self, image: Tensor, **settings: float) -> tuple[Tensor]:
        return (_on_colour(image, grade.split_tone(image[..., :3], **settings)),)


class Halation:
    DESCRIPTION = "The coloured glow around bright edges that comes from light reflected inside film."
    CATEGORY = "image/film"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image": ("IMAGE",),
                "amount": _slider(0.4, 0.0, 2.0, 0.01, "0 is none."),
                "threshold": _slider(0.75, 0.0, 0.99, 0.01, "Only light above this brightness glows."),
                "radius": _slider(8.0, 0.5, 128.0, 0.5, "Reach of the glow in pixels."),
                "hue": _slider(12.0, 0.0, 360.0, 1.0, "Its colour in degrees; film is red-orange."),
            }
        }

    def apply(self, image: Tensor, **settings: float) -> tuple[Tensor]:
        return (_on_colour(image, grade.halation(image[..., :3], **settings)),)


class Vignette:
    DESCRIPTION = "Darkens the corners (or brightens them, below 0)."
    CATEGORY = "image/film"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image": ("IMAGE",),
                "amount": _slider(0.4, -1.0, 1.0, 0.01, "Above 0 darkens, below 0 brightens."),
                "midpoint": _slider(0.35, 0.0, 1.0, 0.01, "Where it begins: 0 is the centre, 1 the corner."),
                "roundness": _slider(0.0, 0.0, 1.0, 0.01, "0 follows the frame, 1 is a circle."),
                "feather": _slider(0.6, 0.01, 1.0, 0.01, "How softly it sets in."),
            }
        }

    def apply(self, image: Tensor, **settings: float) -> tuple[Tensor]:
        return (_on_colour(image, grade.vignette(image[..., :3], **settings)),)


NODE_CLASS_MAPPINGS: dict[str, type] = {
    "NoderackFilmGrain": FilmGrain,
    "NoderackColourGrade": ColourGrade,
    "NoderackSplitTone": SplitTone,
    "NoderackHalation": Halation,
    "NoderackVignette": Vignette,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "NoderackFilmGrain": "Film Grain",
    "NoderackColourGrade": "Colour Grade",
    "NoderackSplitTone": "Split Tone",
    "NoderackHalation": "Halation",
    "NoderackVignette": "Vignette",
}
