"""Masks: made, turned into images and back, combined, grown, feathered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.errors import NodeInputError
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
    number,
    pixels,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_CHANNELS = ("red", "green", "blue", "alpha")


def as_batch(mask: Tensor) -> Tensor:
    """[H, W] or [B, H, W] as [B, H, W]."""
    return mask.reshape((-1, mask.shape[-2], mask.shape[-1]))


class MaskToImage(Node):
    """A mask as a grey picture."""

    INPUTS: ClassVar[Inputs] = {"required": {"mask": MASK}}
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "mask"

    def run(self, mask: Tensor) -> tuple[Tensor]:
        """[B, H, W, 3]."""
        return (as_batch(mask).unsqueeze(-1).expand(-1, -1, -1, 3),)


class ImageToMask(Node):
    """One channel of an image as a mask."""

    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE, "channel": choice(*_CHANNELS)}}
    RETURN_TYPES = ("MASK",)
    CATEGORY = "mask"

    def run(self, image: Tensor, channel: str) -> tuple[Tensor]:
        """[B, H, W]."""
        index = _CHANNELS.index(channel)
        if index >= image.shape[-1]:
            raise NodeInputError(f"the image has no {channel} channel: it has {image.shape[-1]} channels")
        return (image[..., index],)


class ImageColorToMask(Node):
    """1 where the image has exactly this colour."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"image": IMAGE, "color": integer(0, 0, 0xFFFFFF, 1, display="color")}
    }
    RETURN_TYPES = ("MASK",)
    CATEGORY = "mask"

    def run(self, image: Tensor, color: int) -> tuple[Tensor]:
        """Compared in 8 bits; `color` is 0xRRGGBB."""
        import torch

        red, green, blue = (image[..., :3].clamp(0, 1) * 255.0).round().to(torch.int).unbind(-1)
        return (((red << 16) + (green << 8) + blue == color).float(),)


class SolidMask(Node):
    """A mask of one value."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"value": number(1.0, 0.0, 1.0), "width": pixels(512, 1), "height": pixels(512, 1)}
    }
    RETURN_TYPES = ("MASK",)
    CATEGORY = "mask"

    def run(self, value: float, width: int, height: int) -> tuple[Tensor]:
        """[1, H, W]."""
        import torch

        return (torch.full((1, height, width), value, dtype=torch.float32),)


class InvertMask(Node):
    """What was masked is not, and the other way round."""

    INPUTS: ClassVar[Inputs] = {"required": {"mask": MASK}}
    RETURN_TYPES = ("MASK",)
    CATEGORY = "mask"

    def run(self, mask: Tensor) -> tuple[Tensor]:
        """1 - mask."""
        return (1.0 - mask,)


class CropMask(Node):
    """A rectangle cut out of a mask."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "mask": MASK,
            "x": pixels(0),
            "y": pixels(0),
            "width": pixels(512, 1),
            "height": pixels(512, 1),
        }
    }
    RETURN_TYPES = ("MASK",)
    CATEGORY = "mask"

    def run(self, mask: Tensor, x: int, y: int, width: int, height: int) -> tuple[Tensor]:
        """Cut at the mask's edges."""
        return (as_batch(mask)[:, y : y + height, x : x + width],)


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "multiply": lambda a, b: a * b,
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "and": lambda a, b: (a.round().bool() & b.round().bool()).float(),
    "or": lambda a, b: (a.round().bool() | b.round().bool()).float(),
    "xor": lambda a, b: (a.round().bool() ^ b.round().bool()).float(),
}


class MaskComposite(Node):
    """One mask laid over another by an operation."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "destination": MASK,
            "source": MASK,
            "x": pixels(0),
            "y": pixels(0),
            "operation": choice(*OPERATIONS),
        }
    }
    RETURN_TYPES = ("MASK",)
    CATEGORY = "mask"

    def run(self, destination: Tensor, source: Tensor, x: int, y: int, operation: str) -> tuple[Tensor]:
        """Only where the two overlap; the result stays in 0..1."""
        if operation not in OPERATIONS:
            raise NodeInputError(f"there is no mask operation {operation!r}; use {', '.join(OPERATIONS)}")
        result, above = as_batch(destination).clone(), as_batch(source)
        bottom = min(y + above.shape[1], result.shape[1])
        right = min(x + above.shape[2], result.shape[2])
        if bottom > y and right > x:
            under = result[:, y:bottom, x:right]
            result[:, y:bottom, x:right] = OPERATIONS[operation](under, above[:, : bottom - y, : right - x])
        return (result.clamp(0.0, 1.0),)


class FeatherMask(Node):
    """Edges that fade out over so many pixels."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"mask": MASK, **{side: pixels(0) for side in ("left", "top", "right", "bottom")}}
    }
    RETURN_TYPES = ("MASK",)
    CATEGORY = "mask"

    def run(self, mask: Tensor, left: int, top: int, right: int, bottom: int) -> tuple[Tensor]:
        """Each edge is a straight ramp; ramps multiply in the corners."""
        result = as_batch(mask)
        rows, columns = _ramp(result.shape[1], top, bottom), _ramp(result.shape[2], left, right)
        return (result * rows[:, None].to(result) * columns[None, :].to(result),)


def _ramp(length: int, before: int, after: int) -> Tensor:
    import torch

    steps = torch.arange(1, length + 1, dtype=torch.float32)
    rising = (steps / before).clamp(max=1) if before else torch.ones(length)
    falling = (steps / after).clamp(max=1).flip(0) if after else torch.ones(length)
    return rising * falling


class GrowMask(Node):
    """Wider by so many pixels, or narrower for a negative number."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "mask": MASK,
            "expand": integer(0, -MAX_RESOLUTION, MAX_RESOLUTION, 1),
            "tapered_corners": flag(True),
        }
    }
    RETURN_TYPES = ("MASK",)
    CATEGORY = "mask"

    def run(self, mask: Tensor, expand: int, tapered_corners: bool) -> tuple[Tensor]:
        """One pixel a step: over the four neighbours if tapered, over all eight if not."""
        import torch

        sign = 1.0 if expand >= 0 else -1.0  # the minimum is the maximum of the negative
        result = sign * as_batch(mask).clone().unsqueeze(1)
        pool = torch.nn.functional.max_pool2d
        for _ in range(abs(expand)):
            if tapered_corners:
                across = pool(result, (1, 3), stride=1, padding=(0, 1))
                result = across.maximum(pool(result, (3, 1), stride=1, padding=(1, 0)))
            else:
                result = pool(result, 3, stride=1, padding=1)
        return ((sign * result).squeeze(1),)


class ThresholdMask(Node):
    """1 above the value, 0 below."""

    INPUTS: ClassVar[Inputs] = {"required": {"mask": MASK, "value": number(0.5, 0.0, 1.0)}}
    RETURN_TYPES = ("MASK",)
    CATEGORY = "mask"

    def run(self, mask: Tensor, value: float) -> tuple[Tensor]:
        """mask > value."""
        return ((mask > value).float(),)


_ALL: tuple[Any, ...] = (
    MaskToImage,
    ImageToMask,
    ImageColorToMask,
    SolidMask,
    InvertMask,
    CropMask,
    MaskComposite,
    FeatherMask,
    GrowMask,
    ThresholdMask,
)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES = {"MaskToImage": "Convert Mask to Image", "ImageToMask": "Convert Image to Mask"}
