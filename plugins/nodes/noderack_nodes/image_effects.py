"""Images to images: edges, shapes, colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from noderack_nodes.errors import NodeInputError
from noderack_nodes.sockets import IMAGE, Inputs, Mappings, Node, combo, integer, number, seed

if TYPE_CHECKING:
    from numpy import dtype, float64, ndarray
    from PIL import Image

    from noderack_nodes.sockets import Tensor

_ODDS = {"low": 0.01, "high": 0.99}
_DITHERS = ("none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16")


class Canny(Node):
    """The edges of a picture, white on black (Canny, 1986)."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "low_threshold": number(0.4, **_ODDS),
            "high_threshold": number(0.8, **_ODDS),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/preprocessors"

    def run(self, image: Tensor, low_threshold: float, high_threshold: float) -> tuple[Tensor]:
        """Edges above the low threshold count where they hang together with one above the high one."""
        from noderack_nodes.edges import canny

        if low_threshold > high_threshold:
            raise NodeInputError(
                f"the low threshold {low_threshold} lies above the high one, {high_threshold}: swap them"
            )
        return (canny(image, low_threshold, high_threshold)[..., None].repeat(1, 1, 1, 3),)


def _largest(image: Tensor, size: int, before: int) -> Tensor:
    """The largest value around each pixel of [B, C, H, W], by rows and then by columns."""
    from torch.nn import functional as F

    after = size - before - 1
    wide = F.max_pool2d(F.pad(image, (before, after, 0, 0), value=-1e4), (1, size), stride=1)
    return F.max_pool2d(F.pad(wide, (0, 0, before, after), value=-1e4), (size, 1), stride=1)


def _eroded(image: Tensor, size: int) -> Tensor:
    return -_largest(-image, size, size // 2)


def _dilated(image: Tensor, size: int) -> Tensor:
    """An even square reaches further to the right, where erosion's reaches further to the left."""
    return _largest(image, size, (size - 1) // 2)


MORPHS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "erode": _eroded,
    "dilate": _dilated,
    "open": lambda x, n: _dilated(_eroded(x, n), n),
    "close": lambda x, n: _eroded(_dilated(x, n), n),
    "gradient": lambda x, n: _dilated(x, n) - _eroded(x, n),
    "bottom_hat": lambda x, n: _eroded(_dilated(x, n), n) - x,
    "top_hat": lambda x, n: x - _dilated(_eroded(x, n), n),
}


class Morphology(Node):
    """Bright parts made smaller, larger, or taken for themselves."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"image": IMAGE, "operation": combo(*MORPHS), "kernel_size": integer(3, 3, 999, 1)}
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/postprocessing"

    def run(self, image: Tensor, operation: str, kernel_size: int) -> tuple[Tensor]:
        """Over a square of `kernel_size` pixels a side."""
        if operation not in MORPHS:
            raise NodeInputError(f"there is no operation {operation!r}; there are {', '.join(MORPHS)}")
        return (MORPHS[operation](image.movedim(-1, 1), kernel_size).movedim(1, -1),)


class ImageRGBToYUV(Node):
    """Brightness and the two colour differences, each as a grey picture."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE}}
    RETURN_TYPES = ("IMAGE", "IMAGE", "IMAGE")
    RETURN_NAMES = ("Y", "U", "V")
    CATEGORY = "image/batch"

    def run(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Differences lie around a half (the full-range form that JPEG has)."""
        red, green, blue = image[..., :1], image[..., 1:2], image[..., 2:3]
        y = 0.299 * red + 0.587 * green + 0.114 * blue
        u, v = (blue - y) * 0.564 + 0.5, (red - y) * 0.713 + 0.5
        return y.expand_as(image), u.expand_as(image), v.expand_as(image)


class ImageYUVToRGB(Node):
    """And back."""

    INPUTS: ClassVar[Inputs] = {"required": {"Y": IMAGE, "U": IMAGE, "V": IMAGE}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/batch"

    def run(self, Y: Tensor, U: Tensor, V: Tensor) -> tuple[Tensor]:
        """Of pictures with several channels their mean counts."""
        import torch

        y, u, v = (part.mean(dim=-1, keepdim=True) for part in (Y, U - 0.5, V - 0.5))
        rgb = torch.cat([y + 1.403 * v, y - 0.714 * v - 0.344 * u, y + 1.773 * u], dim=-1)
        return (rgb.clamp(0, 1),)


class ImageAddNoise(Node):
    """Noise of a seed over a picture."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"image": IMAGE, "seed": seed(), "strength": number(0.5, 0.0, 1.0)}
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image"

    def run(self, image: Tensor, seed: int, strength: float) -> tuple[Tensor]:
        """Normal noise, `strength` being its deviation."""
        import torch

        noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
        return ((image + strength * noise.to(image)).clamp(0.0, 1.0),)


class ImageQuantize(Node):
    """As few colours as asked, with or without a pattern between them."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"image": IMAGE, "colors": integer(256, 1, 256, 1), "dither": combo(*_DITHERS)}
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/postprocessing"

    def run(self, image: Tensor, colors: int, dither: str) -> tuple[Tensor]:
        """Colours are chosen for each picture by median cut."""
        import numpy as np
        import torch

        from noderack_nodes.png import to_picture

        if dither not in _DITHERS:
            raise NodeInputError(f"there is no dither {dither!r}; there are {', '.join(_DITHERS)}")
        few = [np.array(_quantized(to_picture(one), colors, dither).convert("RGB")) for one in image]
        return (torch.from_numpy(np.stack(few)).to(image) / 255,)


def _quantized(picture: Image.Image, colors: int, dither: str) -> Image.Image:
    from PIL import Image

    palette = picture.quantize(colors=colors)
    if dither.startswith("bayer"):
        picture, dither = _patterned(picture, palette, int(dither.rsplit("-", maxsplit=1)[-1])), "none"
    kind = Image.Dither.NONE if dither == "none" else Image.Dither.FLOYDSTEINBERG
    return picture.quantize(palette=palette, dither=kind)


def _patterned(picture: Image.Image, palette: Image.Image, order: int) -> Image.Image:
    """With Bayer's thresholds added, spread as far as the colours lie apart."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(picture, dtype=np.float32)
    height, width = pixels.shape[:2]
    spread = 2 * 256 / (len(palette.getpalette() or [0, 0, 0]) // 3)
    pattern = spread * _bayer(order) + 0.5
    tiled = np.tile(pattern, (-(-height // order), -(-width // order)))[:height, :width, None]
    return Image.fromarray((pixels + tiled.astype(np.float32)).clip(0, 255).astype(np.uint8))


def _bayer(order: int) -> ndarray[tuple[int, ...], dtype[float64]]:
    """Thresholds around 0 in a square of `order`, so that any part of it holds all levels."""
    import numpy as np

    made, quarters = np.zeros((1, 1)), 1
    while made.shape[0] < order:
        quarters *= 4
        m = quarters * made
        made = np.block([[m - 1.5, m + 0.5], [m + 1.5, m - 0.5]]) / quarters
    return made


NODES: Mappings = {
    node.__name__: node
    for node in (Canny, Morphology, ImageRGBToYUV, ImageYUVToRGB, ImageAddNoise, ImageQuantize)
}
NAMES = {"Morphology": "ImageMorphology", "ImageAddNoise": "ImageAddNoise"}
