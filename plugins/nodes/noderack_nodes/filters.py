"""Images to images: blends, blur, sharpening."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from noderack_nodes.errors import NodeInputError
from noderack_nodes.sockets import IMAGE, MASK, Inputs, Mappings, Node, combo, integer, number

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor


def _overlay(a: Tensor, b: Tensor) -> Tensor:
    return (2 * a * b).where(a <= 0.5, 1 - 2 * (1 - a) * (1 - b))


def _soft_light(a: Tensor, b: Tensor) -> Tensor:
    curve = (((16 * a - 12) * a + 4) * a).where(a <= 0.25, a.sqrt())
    return (a - (1 - 2 * b) * a * (1 - a)).where(b <= 0.5, a + (2 * b - 1) * (curve - a))


BLENDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "normal": lambda a, b: b,
    "multiply": lambda a, b: a * b,
    "screen": lambda a, b: 1 - (1 - a) * (1 - b),
    "overlay": _overlay,
    "soft_light": _soft_light,
    "difference": lambda a, b: a - b,
}


class ImageBlend(Node):
    """Two images mixed, in one of six ways."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image1": IMAGE,
            "image2": IMAGE,
            "blend_factor": number(0.5, 0.0, 1.0),
            "blend_mode": combo(*BLENDS),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/postprocessing"

    def run(self, image1: Tensor, image2: Tensor, blend_factor: float, blend_mode: str) -> tuple[Tensor]:
        """`blend_factor` of the mixture over the first image; the second takes the first one's size."""
        from noderack_nodes.resize import resize_image

        if blend_mode not in BLENDS:
            raise NodeInputError(f"there is no blend mode {blend_mode!r}; the modes are {', '.join(BLENDS)}")
        if image1.shape[1:3] != image2.shape[1:3]:
            image2 = resize_image(image2, image1.shape[2], image1.shape[1], "bicubic", "center")
        mixed = BLENDS[blend_mode](image1, image2)
        return ((image1 * (1 - blend_factor) + mixed * blend_factor).clamp(0, 1),)


class ImageBlur(Node):
    """Gaussian blur."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "blur_radius": integer(1, 1, 31, 1),
            "sigma": number(1.0, 0.1, 10.0, 0.1),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/postprocessing"

    def run(self, image: Tensor, blur_radius: int, sigma: float) -> tuple[Tensor]:
        """`sigma` counts in radii; edges are mirrored."""
        return (convolved(image, gaussian(blur_radius, sigma)),)


class ImageSharpen(Node):
    """Unsharp masking."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "sharpen_radius": integer(1, 1, 31, 1),
            "sigma": number(1.0, 0.1, 10.0, 0.01),
            "alpha": number(1.0, 0.0, 5.0, 0.01),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/postprocessing"

    def run(self, image: Tensor, sharpen_radius: int, sigma: float, alpha: float) -> tuple[Tensor]:
        """The picture less `10 * alpha` of its blur, brightness kept."""
        kernel = gaussian(sharpen_radius, sigma) * -(alpha * 10)
        kernel[sharpen_radius, sharpen_radius] += 1.0 - kernel.sum()
        return (convolved(image, kernel).clamp(0, 1),)


def gaussian(radius: int, sigma: float) -> Tensor:
    """A kernel [2r + 1, 2r + 1] over -1..1 that sums to 1."""
    import torch

    line = torch.linspace(-1, 1, 2 * radius + 1)
    weights = torch.exp(-(line[:, None] ** 2 + line[None, :] ** 2) / (2.0 * sigma * sigma))
    return weights / weights.sum()


def convolved(image: Tensor, kernel: Tensor) -> Tensor:
    """Each channel of [B, H, W, C] with the same kernel; the border is mirrored."""
    import torch

    radius, channels = kernel.shape[0] // 2, image.shape[-1]
    if min(image.shape[1:3]) <= radius:
        raise NodeInputError(
            f"a radius of {radius} needs an image larger than that; "
            f"this one has {image.shape[2]} x {image.shape[1]} pixels"
        )
    padded = torch.nn.functional.pad(image.movedim(-1, 1), (radius,) * 4, mode="reflect")
    weights = kernel.to(image).expand(channels, 1, *kernel.shape)
    return torch.nn.functional.conv2d(padded, weights, groups=channels).movedim(1, -1)


class SplitImageWithAlpha(Node):
    """Colours and transparency apart."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE}}
    RETURN_TYPES = ("IMAGE", "MASK")
    CATEGORY = "mask/compositing"

    def run(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The mask is 1 - alpha, 0 without alpha."""
        alpha = image[..., 3] if image.shape[-1] > 3 else image[..., 0] * 0 + 1
        return image[..., :3], 1.0 - alpha


class JoinImageWithAlpha(Node):
    """Colours and transparency together."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE, "alpha": MASK}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "mask/compositing"

    def run(self, image: Tensor, alpha: Tensor) -> tuple[Tensor]:
        """[B, H, W, 4] with alpha = 1 - mask; the mask takes the image's size."""
        import torch

        from noderack_nodes.batches import mask_like, to_batch

        size = max(image.shape[0], alpha.shape[0] if alpha.dim() > 2 else 1)
        opaque = 1.0 - to_batch(mask_like(alpha, image.shape[1], image.shape[2]), size)
        return (torch.cat((to_batch(image, size)[..., :3], opaque.movedim(1, -1)), dim=-1),)


NODES: Mappings = {
    node.__name__: node
    for node in (ImageBlend, ImageBlur, ImageSharpen, SplitImageWithAlpha, JoinImageWithAlpha)
}
NAMES = {
    "SplitImageWithAlpha": "Split Image with Alpha",
    "JoinImageWithAlpha": "Join Image with Alpha",
}
