"""Images of another size: resized, cut, with room around them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from noderack_nodes.sockets import (
    IMAGE,
    MAX_RESOLUTION,
    Inputs,
    Mappings,
    Node,
    choice,
    combo,
    integer,
    number,
    pixels,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")


class ImageScale(Node):
    """Resizes to a width and a height; a 0 keeps the aspect ratio."""

    upscale_methods: ClassVar = list(METHODS)  # packs read it to offer the same
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "upscale_method": choice(*METHODS),
            "width": pixels(512),
            "height": pixels(512),
            "crop": choice("disabled", "center"),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/upscaling"
    FUNCTION = "upscale"

    def upscale(
        self, image: Tensor, upscale_method: str, width: int, height: int, crop: str
    ) -> tuple[Tensor]:
        """0 x 0 gives the image back as it is."""
        from noderack_nodes.resize import resize_image

        if width == 0 and height == 0:
            return (image,)
        old_height, old_width = image.shape[1], image.shape[2]
        width = width or max(1, round(old_width * height / old_height))
        height = height or max(1, round(old_height * width / old_width))
        return (resize_image(image, width, height, upscale_method, crop),)


class ImageScaleBy(Node):
    """Resizes by a factor."""

    upscale_methods: ClassVar = list(METHODS)  # packs read it to offer the same
    INPUTS: ClassVar[Inputs] = {
        "required": {"image": IMAGE, "upscale_method": choice(*METHODS), "scale_by": number(1.0, 0.01, 8.0)}
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/upscaling"
    FUNCTION = "upscale"

    def upscale(self, image: Tensor, upscale_method: str, scale_by: float) -> tuple[Tensor]:
        """Both sides times `scale_by`, rounded."""
        from noderack_nodes.resize import resize_image

        width, height = round(image.shape[2] * scale_by), round(image.shape[1] * scale_by)
        return (resize_image(image, width, height, upscale_method),)


class ImageScaleToTotalPixels(Node):
    """Resizes to so many megapixels (1 = 1024 x 1024) and keeps the aspect ratio."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "upscale_method": combo(*METHODS),
            "megapixels": number(1.0, 0.01, 16.0),
            "resolution_steps": integer(1, 1, 256, advanced=True),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/upscaling"

    def run(
        self, image: Tensor, upscale_method: str, megapixels: float, resolution_steps: int = 1
    ) -> tuple[Tensor]:
        """Both sides by the same factor, each to a multiple of `resolution_steps`."""
        from noderack_nodes.resize import resize_image

        height, width = image.shape[1], image.shape[2]
        factor = math.sqrt(megapixels * 1024 * 1024 / (width * height)) / resolution_steps
        wide, high = (round(side * factor) * resolution_steps for side in (width, height))
        return (resize_image(image, wide, high, upscale_method),)


class ImageScaleToMaxDimension(Node):
    """Resizes so that the longer side has this length."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "upscale_method": choice("area", "lanczos", "bilinear", "nearest-exact", "bilinear", "bicubic"),
            "largest_size": pixels(512),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/upscaling"

    def run(self, image: Tensor, upscale_method: str, largest_size: int) -> tuple[Tensor]:
        """The shorter side follows."""
        from noderack_nodes.resize import resize_image

        height, width = image.shape[1], image.shape[2]
        factor = largest_size / max(height, width)
        return (resize_image(image, round(width * factor), round(height * factor), upscale_method),)


class ImageCrop(Node):
    """A rectangle cut out of each image."""

    DEPRECATED = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "width": pixels(512, 1),
            "height": pixels(512, 1),
            "x": pixels(0),
            "y": pixels(0),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/transform"

    def run(self, image: Tensor, width: int, height: int, x: int, y: int) -> tuple[Tensor]:
        """A corner outside the image moves in to the last pixel."""
        x, y = min(x, image.shape[2] - 1), min(y, image.shape[1] - 1)
        return (image[:, y : y + height, x : x + width, :],)


class GetImageSize(Node):
    """How large the images are, and how many."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE}, "hidden": {"unique_id": "UNIQUE_ID"}}
    RETURN_TYPES = ("INT", "INT", "INT")
    RETURN_NAMES = ("width", "height", "batch_size")
    CATEGORY = "image"

    def run(self, image: Tensor, unique_id: str | None = None) -> tuple[int, int, int]:
        """(width, height, batch size)."""
        return image.shape[2], image.shape[1], image.shape[0]


class ImagePadForOutpaint(Node):
    """Makes room around the images, and a mask of the new part that fades into the old one."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            **{side: pixels(0, 0, 8) for side in ("left", "top", "right", "bottom")},
            "feathering": integer(40, 0, MAX_RESOLUTION, 1),
        }
    }
    RETURN_TYPES = ("IMAGE", "MASK")
    CATEGORY = "image"
    FUNCTION = "expand_image"

    def expand_image(
        self, image: Tensor, left: int, top: int, right: int, bottom: int, feathering: int
    ) -> tuple[Tensor, Tensor]:
        """The new part is mid-grey; the mask is 1 there and falls with the square of the distance inside."""
        import torch

        batch, height, width, channels = image.shape
        wide = image.new_full((batch, height + top + bottom, width + left + right, channels), 0.5)
        wide[:, top : top + height, left : left + width] = image
        mask = torch.ones(wide.shape[1:3])
        inner = torch.zeros(height, width)
        if feathering > 0 and feathering * 2 < min(height, width):
            nearest = _distance(height, top, bottom)[:, None].minimum(_distance(width, left, right)[None, :])
            inner = ((feathering - nearest) / feathering).clamp(min=0) ** 2
        mask[top : top + height, left : left + width] = inner
        return wide, mask.unsqueeze(0)


def _distance(length: int, before: int, after: int) -> Tensor:
    """How far each position is from the nearer edge that got new pixels."""
    import torch

    position = torch.arange(length, dtype=torch.float32)
    far = torch.full_like(position, float(length))
    return (position if before else far).minimum(length - position if after else far)


_ALL: tuple[type[Node], ...] = (
    ImageScale,
    ImageScaleBy,
    ImageScaleToTotalPixels,
    ImageScaleToMaxDimension,
    ImageCrop,
    GetImageSize,
    ImagePadForOutpaint,
)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES = {
    "ImageScale": "Upscale Image",
    "ImageScaleBy": "Upscale Image By",
    "ImageCrop": "Image Crop",
    "GetImageSize": "Get Image Size",
    "ImagePadForOutpaint": "Pad Image for Outpainting",
}
