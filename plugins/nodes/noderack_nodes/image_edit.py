"""Images to images of the same size: batches, turns, the negative, one over another."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from noderack_nodes.latent_batch import place_in
from noderack_nodes.sockets import (
    IMAGE,
    MASK,
    MAX_RESOLUTION,
    Inputs,
    Mappings,
    Node,
    choice,
    flag,
    integer,
    pixels,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_TURNS = ("none", "90 degrees", "180 degrees", "270 degrees")
_FLIPS = ("x-axis: vertically", "y-axis: horizontally")


class ImageInvert(Node):
    """The negative."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image"
    FUNCTION = "invert"

    def invert(self, image: Tensor) -> tuple[Tensor]:
        """1 - image."""
        return (1.0 - image,)


class ImageBatch(Node):
    """Two batches as one; the second takes the size of the first."""

    DEPRECATED = True
    INPUTS: ClassVar[Inputs] = {"required": {"image1": IMAGE, "image2": IMAGE}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image"
    FUNCTION = "batch"

    def batch(self, image1: Tensor, image2: Tensor) -> tuple[Tensor]:
        """[B1 + B2, H, W, C]; a missing alpha channel is filled with 1."""
        import torch

        from noderack_nodes.resize import resize_image

        channels = max(image1.shape[-1], image2.shape[-1])
        first, second = (
            torch.nn.functional.pad(image, (0, channels - image.shape[-1]), value=1.0)
            for image in (image1, image2)
        )
        if first.shape[1:] != second.shape[1:]:
            second = resize_image(second, first.shape[2], first.shape[1], "bilinear", "center")
        return (torch.cat((first, second)),)


class ImageFromBatch(Node):
    """Some images of a batch."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "batch_index": integer(0, -MAX_RESOLUTION, MAX_RESOLUTION),
            "length": integer(1, 1, 4096),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/batch"

    def run(self, image: Tensor, batch_index: int, length: int) -> tuple[Tensor]:
        """Positions below 0 count from the end, those past an end mean the image there."""
        start = place_in(len(image), batch_index)
        return (image[start : start + length].clone(),)


class RepeatImageBatch(Node):
    """A batch several times over."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE, "amount": integer(1, 1, 4096)}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/batch"

    def run(self, image: Tensor, amount: int) -> tuple[Tensor]:
        """[B * amount, H, W, C]."""
        return (image.repeat(amount, 1, 1, 1),)


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
    FUNCTION = "generate"

    def generate(self, width: int, height: int, batch_size: int = 1, color: int = 0) -> tuple[Tensor]:
        """`color` is 0xRRGGBB."""
        import torch

        channels = [(color >> shift & 0xFF) / 255 for shift in (16, 8, 0)]
        return (torch.tensor(channels).expand(batch_size, height, width, 3).clone(),)


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
        self,
        destination: Tensor,
        source: Tensor,
        x: int,
        y: int,
        resize_source: bool,
        mask: Tensor | None = None,
    ) -> tuple[Tensor]:
        """Where the mask is 1 the source shows."""
        from noderack_nodes.batches import paste
        from noderack_nodes.resize import resize_image

        if resize_source:
            source = resize_image(source, destination.shape[2], destination.shape[1], "bilinear")
        return (paste(destination.movedim(-1, 1), source.movedim(-1, 1), x, y, mask).movedim(1, -1),)


_ALL: tuple[type[Node], ...] = (
    ImageInvert,
    ImageBatch,
    ImageFromBatch,
    RepeatImageBatch,
    ImageRotate,
    ImageFlip,
    EmptyImage,
    ImageCompositeMasked,
)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES = {
    "ImageInvert": "Invert Image",
    "ImageBatch": "Batch Images",
}
