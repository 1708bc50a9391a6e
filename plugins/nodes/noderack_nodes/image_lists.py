"""Images of many sizes, one after the other, as training sets have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.sockets import IMAGE, Inputs, Mappings, Node, Socket, integer

if TYPE_CHECKING:
    from numpy.random import RandomState

    from noderack_nodes.sockets import Tensor

_FACTOR: Socket = ("FLOAT", {"default": 1.0, "min": 0.0, "max": 2.0})
_SIDES = {"width": integer(512, 1, 8192), "height": integer(512, 1, 8192)}


def _taking(**more: Socket) -> Inputs:
    return {"required": {"images": IMAGE, **more}}


class OfImages(Node):
    """Gives images."""

    EXPERIMENTAL = True
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IMAGE",)
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("images",)
    CATEGORY = "image/transform"


def _scaled(images: Tensor, width: int, height: int) -> tuple[Tensor]:
    """Through 8-bit pixels, as Pillow resizes."""
    import torch
    from PIL import Image

    small = [_picture(one).resize((width, height), Image.Resampling.LANCZOS) for one in images]
    return (torch.stack([_tensor(picture) for picture in small]),)


def _picture(image: Tensor) -> Any:
    from noderack_nodes.png import to_picture

    return to_picture(image.clamp(0, 1)).convert("RGB")


def _tensor(picture: Any) -> Tensor:
    import numpy as np
    import torch

    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255.0)


class ResizeImagesByShorterEdge(OfImages):
    """Resized to a length of the shorter side."""

    DEPRECATED = True
    INPUTS: ClassVar[Inputs] = _taking(shorter_edge=integer(512, 1, 8192))

    def run(self, images: Tensor, shorter_edge: int) -> tuple[Tensor]:
        """The other side is cut to whole pixels."""
        _, height, width, _ = images.shape
        if width < height:
            return _scaled(images, shorter_edge, int(height * (shorter_edge / width)))
        return _scaled(images, int(width * (shorter_edge / height)), shorter_edge)


class ResizeImagesByLongerEdge(OfImages):
    """Resized to a length of the longer side."""

    DEPRECATED = True
    INPUTS: ClassVar[Inputs] = _taking(longer_edge=integer(1024, 1, 8192))

    def run(self, images: Tensor, longer_edge: int) -> tuple[Tensor]:
        """The other side is cut to whole pixels."""
        _, height, width, _ = images.shape
        if width > height:
            return _scaled(images, longer_edge, int(height * (longer_edge / width)))
        return _scaled(images, int(width * (longer_edge / height)), longer_edge)


def _cut(images: Tensor, left: int, top: int, width: int, height: int) -> tuple[Tensor]:
    """A part, in the 256 levels that a picture file has."""
    part = images[:, top : top + height, left : left + width]
    return ((part.clamp(0, 1) * 255).floor() / 255,)


class CenterCropImages(OfImages):
    """The middle of images."""

    INPUTS: ClassVar[Inputs] = _taking(**_SIDES)

    def run(self, images: Tensor, width: int, height: int) -> tuple[Tensor]:
        """Sides that are shorter stay."""
        left, top = (max(0, (images.shape[2] - width) // 2), max(0, (images.shape[1] - height) // 2))
        return _cut(images, left, top, width, height)


class RandomCropImages(OfImages):
    """Some part of images."""

    INPUTS: ClassVar[Inputs] = _taking(**_SIDES, seed=integer(0, 0, 0xFFFFFFFFFFFFFFFF))

    def run(self, images: Tensor, width: int, height: int, seed: int) -> tuple[Tensor]:
        """The same part for the same seed and size, in every image of a batch."""
        draw = _drawn(seed)
        left, top = (
            int(draw.randint(0, room + 1)) if room > 0 else 0
            for room in (images.shape[2] - width, images.shape[1] - height)
        )
        return _cut(images, left, top, width, height)


def _drawn(seed: int) -> RandomState:
    """The draws that files made elsewhere rest on: numpy's older generator."""
    from numpy.random import RandomState

    return RandomState(seed % (2**32 - 1))


class NormalizeImages(OfImages):
    """Images less a mean, over a deviation."""

    INPUTS: ClassVar[Inputs] = _taking(
        mean=("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "advanced": True}),
        std=("FLOAT", {"default": 0.5, "min": 0.001, "max": 1.0, "advanced": True}),
    )
    CATEGORY = "image/color"

    def run(self, images: Tensor, mean: float, std: float) -> tuple[Tensor]:
        """Not kept within 0..1."""
        return ((images - mean) / std,)


class AdjustBrightness(OfImages):
    """Brighter or darker."""

    INPUTS: ClassVar[Inputs] = _taking(factor=_FACTOR)
    CATEGORY = "image/adjustments"

    def run(self, images: Tensor, factor: float) -> tuple[Tensor]:
        """Every value times the factor."""
        return ((images * factor).clamp(0.0, 1.0),)


class AdjustContrast(OfImages):
    """More or less contrast."""

    INPUTS: ClassVar[Inputs] = _taking(factor=_FACTOR)
    CATEGORY = "image/adjustments"

    def run(self, images: Tensor, factor: float) -> tuple[Tensor]:
        """Every value's distance to a half times the factor."""
        return (((images - 0.5) * factor + 0.5).clamp(0.0, 1.0),)


class OfLists(OfImages):
    """Takes all images of a list at once, and gives a list."""

    INPUT_IS_LIST = True
    OUTPUT_IS_LIST: ClassVar[tuple[bool, ...]] = (True,)
    CATEGORY = "image/batch"


def _singles(images: list[Tensor]) -> list[Tensor]:
    return [batch[at : at + 1] for batch in images for at in range(len(batch))]


class ShuffleDataset(OfLists):
    """Images in another order."""

    INPUTS: ClassVar[Inputs] = _taking(seed=integer(0, 0, 0xFFFFFFFFFFFFFFFF))

    def run(self, images: list[Tensor], seed: list[int]) -> tuple[list[Tensor]]:
        """The same order for the same seed and number."""
        single = _singles(images)
        return ([single[at] for at in _drawn(seed[0]).permutation(len(single))],)


class ImageDeduplication(OfLists):
    """Images that do not look like an earlier one."""

    INPUTS: ClassVar[Inputs] = _taking(
        similarity_threshold=("FLOAT", {"default": 0.95, "min": 0.0, "max": 1.0, "advanced": True})
    )

    def run(self, images: list[Tensor], similarity_threshold: list[float]) -> tuple[list[Tensor]]:
        """Compared by which parts of 8 x 8 are brighter than the whole."""
        kept: list[tuple[Tensor, Tensor]] = []
        for image in _singles(images):
            parts = _bright(image)
            if all(float((parts == one).float().mean()) < similarity_threshold[0] for _, one in kept):
                kept.append((image, parts))
        return ([image for image, _ in kept],)


def _bright(image: Tensor) -> Tensor:
    import numpy as np
    import torch
    from PIL import Image

    small = _picture(image[0]).resize((8, 8), Image.Resampling.LANCZOS).convert("L")
    levels = torch.from_numpy(np.asarray(small).astype(np.float64))
    return levels > levels.mean()


class ImageGrid(OfLists):
    """A list of images as one sheet."""

    INPUTS: ClassVar[Inputs] = _taking(
        columns=integer(4, 1, 20),
        cell_width=integer(256, 32, 2048, advanced=True),
        cell_height=integer(256, 32, 2048, advanced=True),
        padding=integer(4, 0, 50, advanced=True),
    )
    OUTPUT_IS_LIST: ClassVar[tuple[bool, ...]] = (False,)

    def run(
        self,
        images: list[Tensor],
        columns: list[int],
        cell_width: list[int],
        cell_height: list[int],
        padding: list[int],
    ) -> tuple[Tensor]:
        """Row by row, each resized to its cell, with black between them."""
        import torch

        (across, *_), (wide, *_), (high, *_), (gap, *_) = columns, cell_width, cell_height, padding
        single = _singles(images)
        rows = -(-len(single) // across)
        sheet = torch.zeros(1, rows * (high + gap) - gap, across * (wide + gap) - gap, 3)
        for (x, y), image in zip(_cells(across, wide + gap, high + gap), single, strict=False):
            sheet[:, y : y + high, x : x + wide] = _scaled(image, wide, high)[0]
        return (sheet,)


def _cells(across: int, wide: int, high: int) -> Iterator[tuple[int, int]]:
    at = 0
    while True:
        yield at % across * wide, at // across * high
        at += 1


class MergeImageLists(OfLists):
    """Several lists of images as one."""

    DEPRECATED = True
    INPUTS: ClassVar[Inputs] = _taking()

    def run(self, images: list[Tensor]) -> tuple[list[Tensor]]:
        """One image after the other."""
        return (_singles(images),)


_ALL: tuple[type[Node], ...] = (
    *(ResizeImagesByShorterEdge, ResizeImagesByLongerEdge, CenterCropImages, RandomCropImages),
    *(NormalizeImages, AdjustBrightness, AdjustContrast),
    *(ShuffleDataset, ImageDeduplication, ImageGrid, MergeImageLists),
)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES = {
    "ResizeImagesByShorterEdge": "Resize Images by Shorter Edge (DEPRECATED)",
    "ResizeImagesByLongerEdge": "Resize Images by Longer Edge (DEPRECATED)",
    "CenterCropImages": "Crop Image (Center)",
    "RandomCropImages": "Crop Image (Random)",
    "NormalizeImages": "Normalize Image Colors",
    "AdjustBrightness": "Adjust Brightness",
    "AdjustContrast": "Adjust Contrast",
    "ShuffleDataset": "Shuffle Images List",
    "ImageDeduplication": "Deduplicate Images",
    "ImageGrid": "Make Image Grid",
    "MergeImageLists": "Merge Image Lists (DEPRECATED)",
}
