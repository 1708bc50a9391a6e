"""Images to images: sizes, batches, turns, blends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from noderack_nodes.sockets import (
    IMAGE,
    MASK,
    MAX_RESOLUTION,
    Inputs,
    Mappings,
    Node,
    choice,
    combo,
    flag,
    integer,
    number,
    pixels,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
_TURNS = ("none", "90 degrees", "180 degrees", "270 degrees")
_FLIPS = ("x-axis: vertically", "y-axis: horizontally")


class ImageScale(Node):
    """Resizes to a width and a height; a 0 keeps the aspect ratio."""

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

    def run(self, image: Tensor, upscale_method: str, width: int, height: int, crop: str) -> tuple[Tensor]:
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

    INPUTS: ClassVar[Inputs] = {
        "required": {"image": IMAGE, "upscale_method": choice(*METHODS), "scale_by": number(1.0, 0.01, 8.0)}
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/upscaling"

    def run(self, image: Tensor, upscale_method: str, scale_by: float) -> tuple[Tensor]:
        """Both sides times `scale_by`, rounded."""
        from noderack_nodes.resize import resize_image

        width, height = round(image.shape[2] * scale_by), round(image.shape[1] * scale_by)
        return (resize_image(image, width, height, upscale_method),)


class ImageScaleToTotalPixels(Node):
    """Resizes to so many megapixels (1 = 1024 x 1024) and keeps the aspect ratio."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"image": IMAGE, "upscale_method": combo(*METHODS), "megapixels": number(1.0, 0.01, 16.0)}
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/upscaling"

    def run(self, image: Tensor, upscale_method: str, megapixels: float) -> tuple[Tensor]:
        """Both sides by the same factor."""
        from noderack_nodes.resize import resize_image

        height, width = image.shape[1], image.shape[2]
        factor = math.sqrt(int(megapixels * 1024 * 1024) / (width * height))
        return (resize_image(image, round(width * factor), round(height * factor), upscale_method),)


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


class ImageInvert(Node):
    """The negative."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image"

    def run(self, image: Tensor) -> tuple[Tensor]:
        """1 - image."""
        return (1.0 - image,)


class ImageBatch(Node):
    """Two batches as one; the second takes the size of the first."""

    INPUTS: ClassVar[Inputs] = {"required": {"image1": IMAGE, "image2": IMAGE}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image"

    def run(self, image1: Tensor, image2: Tensor) -> tuple[Tensor]:
        """[B1 + B2, H, W, C]; a missing alpha channel is filled with 1."""
        import torch

        from noderack_nodes.resize import resize_image

        channels = max(image1.shape[-1], image2.shape[-1])
        first, second = (
            torch.nn.functional.pad(image, (0, channels - image.shape[-1]), value=1.0) for image in (image1, image2)
        )
        if first.shape[1:] != second.shape[1:]:
            second = resize_image(second, first.shape[2], first.shape[1], "bilinear", "center")
        return (torch.cat((first, second)),)


class ImageFromBatch(Node):
    """Some images of a batch."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"image": IMAGE, "batch_index": integer(0, 0, 4095), "length": integer(1, 1, 4096)}
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/batch"

    def run(self, image: Tensor, batch_index: int, length: int) -> tuple[Tensor]:
        """Positions past the end mean the last image."""
        start = min(image.shape[0] - 1, batch_index)
        return (image[start : start + length].clone(),)


class RepeatImageBatch(Node):
    """A batch several times over."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE, "amount": integer(1, 1, 4096)}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/batch"

    def run(self, image: Tensor, amount: int) -> tuple[Tensor]:
        """[B * amount, H, W, C]."""
        return (image.repeat(amount, 1, 1, 1),)


class ImageCrop(Node):
    """A rectangle cut out of each image."""

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


class ImageRotate(Node):
    """Quarter turns, clockwise."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE, "rotation": choice(*_TURNS)}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/transform"

    def run(self, image: Tensor, rotation: str) -> tuple[Tensor]:
        """Turned by 0, 1, 2 or 3 quarters."""
        import torch

        return (torch.rot90(image, k=_TURNS.index(rotation), dims=[2, 1]),)


class ImageFlip(Node):
    """Mirrored, upside down or left to right."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE, "flip_method": choice(*_FLIPS)}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/transform"

    def run(self, image: Tensor, flip_method: str) -> tuple[Tensor]:
        """x turns rows around, y turns columns around."""
        return (image.flip(1 if flip_method.startswith("x") else 2),)


class GetImageSize(Node):
    """How large the images are, and how many."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE}, "hidden": {"unique_id": "UNIQUE_ID"}}
    RETURN_TYPES = ("INT", "INT", "INT")
    RETURN_NAMES = ("width", "height", "batch_size")
    CATEGORY = "image"

    def run(self, image: Tensor, unique_id: str | None = None) -> tuple[int, int, int]:
        """(width, height, batch size)."""
        return image.shape[2], image.shape[1], image.shape[0]


class EmptyImage(Node):
    """Images of one colour."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "width": pixels(512, 1),
            "height": pixels(512, 1),
            "batch_size": integer(1, 1, 4096),
            "color": integer(0, 0, 0xFFFFFF, 1, display="color"),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image"

    def run(self, width: int, height: int, batch_size: int = 1, color: int = 0) -> tuple[Tensor]:
        """`color` is 0xRRGGBB."""
        import torch

        channels = [(color >> shift & 0xFF) / 255 for shift in (16, 8, 0)]
        return (torch.tensor(channels).expand(batch_size, height, width, 3).clone(),)


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

    def run(
        self, image: Tensor, left: int, top: int, right: int, bottom: int, feathering: int
    ) -> tuple[Tensor, Tensor]:
        """The new part is mid-grey; the mask is 1 there and falls off with the square of the distance inside."""
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


class ImageCompositeMasked(Node):
    """One image laid over another, through a mask."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "destination": IMAGE,
            "source": IMAGE,
            "x": pixels(0),
            "y": pixels(0),
            "resize_source": flag(False),
        },
        "optional": {"mask": MASK},
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image"

    def run(
        self, destination: Tensor, source: Tensor, x: int, y: int, resize_source: bool, mask: Tensor | None = None
    ) -> tuple[Tensor]:
        """Where the mask is 1 the source shows."""
        from noderack_nodes.batches import paste
        from noderack_nodes.resize import resize_image

        if resize_source:
            source = resize_image(source, destination.shape[2], destination.shape[1], "bilinear")
        return (paste(destination.movedim(-1, 1), source.movedim(-1, 1), x, y, mask).movedim(1, -1),)


NODES: Mappings = {
    node.__name__: node
    for node in (
        ImageScale,
        ImageScaleBy,
        ImageScaleToTotalPixels,
        ImageScaleToMaxDimension,
        ImageInvert,
        ImageBatch,
        ImageFromBatch,
        RepeatImageBatch,
        ImageCrop,
        ImageRotate,
        ImageFlip,
        GetImageSize,
        EmptyImage,
        ImagePadForOutpaint,
        ImageCompositeMasked,
    )
}
NAMES = {
    "ImageScale": "Upscale Image",
    "ImageScaleBy": "Upscale Image By",
    "ImageInvert": "Invert Image",
    "ImageBatch": "Batch Images",
    "ImageCrop": "Image Crop",
    "GetImageSize": "Get Image Size",
    "ImagePadForOutpaint": "Pad Image for Outpainting",
}
