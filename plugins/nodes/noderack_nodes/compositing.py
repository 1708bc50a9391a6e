"""Images over and beside each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from noderack_nodes.errors import NodeInputError
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
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_COLOURS = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
}
Factor = Callable[["Tensor", "Tensor"], "Tensor | float"]
"""(alpha of the source, of the destination) -> how much counts."""


def _none(s: Tensor, d: Tensor) -> float:
    return 0.0


def _all(s: Tensor, d: Tensor) -> float:
    return 1.0


def _source(s: Tensor, d: Tensor) -> Tensor:
    return s


def _beside_source(s: Tensor, d: Tensor) -> Tensor:
    return 1 - s


def _destination(s: Tensor, d: Tensor) -> Tensor:
    return d


def _beside_destination(s: Tensor, d: Tensor) -> Tensor:
    return 1 - d


PORTER_DUFF: dict[str, tuple[Factor, Factor]] = {
    "CLEAR": (_none, _none),
    "DST": (_none, _all),
    "DST_ATOP": (_beside_destination, _source),
    "DST_IN": (_none, _source),
    "DST_OUT": (_none, _beside_source),
    "DST_OVER": (_beside_destination, _all),
    "SRC": (_all, _none),
    "SRC_ATOP": (_destination, _beside_source),
    "SRC_IN": (_destination, _none),
    "SRC_OUT": (_beside_destination, _none),
    "SRC_OVER": (_all, _beside_source),
    "XOR": (_beside_destination, _beside_source),
}
"""Of source and destination, their alpha and their colour alike (Porter & Duff, 1984)."""
Blend = Callable[["Tensor", "Tensor", "Tensor", "Tensor"], "tuple[Tensor, Tensor]"]
"""(source, its alpha, destination, its alpha), colours times alpha -> (colour, alpha)."""


def _union(a: Tensor, b: Tensor) -> Tensor:
    return a + b - a * b


def _overlay(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    bright = sa * da - 2 * (da - s) * (sa - d)
    return (2 * s * d).where(2 * d < da, bright), _union(sa, da)


BLENDS: dict[str, Blend] = {
    "ADD": lambda s, sa, d, da: ((s + d).clamp(0, 1), (sa + da).clamp(0, 1)),
    "DARKEN": lambda s, sa, d, da: ((1 - da) * s + (1 - sa) * d + s.minimum(d), _union(sa, da)),
    "LIGHTEN": lambda s, sa, d, da: ((1 - da) * s + (1 - sa) * d + s.maximum(d), _union(sa, da)),
    "MULTIPLY": lambda s, sa, d, da: (s * d, sa * da),
    "OVERLAY": _overlay,
    "SCREEN": lambda s, sa, d, da: (_union(s, d), _union(sa, da)),
}


class PorterDuffImageComposite(Node):
    """One picture over another by their alphas, in one of eighteen ways."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "source": IMAGE,
            "source_alpha": MASK,
            "destination": IMAGE,
            "destination_alpha": MASK,
            "mode": combo(*sorted({*PORTER_DUFF, *BLENDS}), default="DST"),
        }
    }
    RETURN_TYPES = ("IMAGE", "MASK")
    CATEGORY = "mask/compositing"

    def run(
        self,
        source: Tensor,
        source_alpha: Tensor,
        destination: Tensor,
        destination_alpha: Tensor,
        mode: str,
    ) -> tuple[Tensor, Tensor]:
        """Masks are 1 where nothing is; all take the destination's size."""
        if mode not in PORTER_DUFF and mode not in BLENDS:
            raise NodeInputError(f"there is no mode {mode!r}; there are {', '.join((*PORTER_DUFF, *BLENDS))}")
        count = min(len(t) for t in (source, source_alpha, destination, destination_alpha))
        size = destination.shape[2], destination.shape[1]
        below, over = destination[:count], _sized(source[:count], size)
        if over.shape[-1] != below.shape[-1]:
            raise NodeInputError(f"one picture has {over.shape[-1]} channels, the other {below.shape[-1]}")
        sa, da = (1 - _sized(t[:count, ..., None], size) for t in (source_alpha, destination_alpha))
        colour, alpha = _composed(over * sa, sa, below * da, da, mode)
        colour = (colour / alpha).where(alpha > 1e-5, 0.0).clamp(0, 1)
        return colour, (1 - alpha)[..., 0]


def _composed(s: Tensor, sa: Tensor, d: Tensor, da: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    if mode in BLENDS:
        return BLENDS[mode](s, sa, d, da)
    mine, theirs = (factor(sa, da) for factor in PORTER_DUFF[mode])
    return s * mine + d * theirs, sa * mine + da * theirs


def _sized(image: Tensor, size: tuple[int, int]) -> Tensor:
    from noderack_nodes.resize import resize_image

    if (image.shape[2], image.shape[1]) == size:
        return image
    return resize_image(image, *size, "bicubic", "center")


class ImageStitch(Node):
    """Two pictures side by side."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image1": IMAGE,
            "direction": (["right", "down", "left", "up"], {"default": "right"}),
            "match_image_size": flag(True),
            "spacing_width": integer(0, 0, 1024, 2),
            "spacing_color": ([*_COLOURS], {"default": "white"}),
        },
        "optional": {"image2": IMAGE},
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/transform"

    def run(
        self,
        image1: Tensor,
        direction: str,
        match_image_size: bool,
        spacing_width: int,
        spacing_color: str,
        image2: Tensor | None = None,
    ) -> tuple[Tensor]:
        """The second lies in `direction` of the first, brought to its size, or the smaller of them padded."""
        import torch

        if image2 is None:
            return (image1,)
        count = max(len(image1), len(image2))
        beside = direction in ("left", "right")
        parts = [_lengthened(image, count) for image in (image1, image2)]
        colour = _COLOURS[spacing_color]
        if match_image_size:
            parts[1] = _matched(parts[0], parts[1], beside)
        else:
            parts = _padded(parts, 1 if beside else 2, colour[0] if len(set(colour)) == 1 else 0.0)
        channels = max(image.shape[-1] for image in parts)
        parts = [_with_channels(image, channels) for image in parts]
        if spacing_width:
            shape = list(parts[0].shape)
            shape[2 if beside else 1] = spacing_width
            bar = torch.ones(shape).to(parts[0])
            bar[..., : min(3, channels)] = torch.tensor(colour[: min(3, channels)]).to(bar)
            parts.insert(1, bar)
        if direction in ("left", "up"):
            parts.reverse()
        return (torch.cat(parts, dim=2 if beside else 1),)


def _lengthened(image: Tensor, count: int) -> Tensor:
    import torch

    return torch.cat([image, image[-1:].repeat(count - len(image), 1, 1, 1)])


def _matched(first: Tensor, second: Tensor, beside: bool) -> Tensor:
    from noderack_nodes.resize import resize_image

    height, width = first.shape[1:3]
    ratio = second.shape[2] / second.shape[1]
    size = (int(height * ratio), height) if beside else (width, int(width / ratio))
    return resize_image(second, *size, "lanczos")


def _padded(parts: list[Tensor], axis: int, value: float) -> list[Tensor]:
    """All as long along an axis as the longest, the rest filled on both sides."""
    from torch.nn import functional as F

    most, found = max(image.shape[axis] for image in parts), []
    for image in parts:
        room = most - image.shape[axis]
        pads = [0, 0, *([0, 0] if axis == 1 else []), room // 2, room - room // 2]
        found.append(F.pad(image, pads, value=value))
    return found


def _with_channels(image: Tensor, channels: int) -> Tensor:
    import torch

    missing = channels - image.shape[-1]
    return torch.cat([image, image.new_ones(*image.shape[:-1], missing)], dim=-1) if missing else image


class ResizeAndPadImage(Node):
    """As large as fits into a size, the rest filled."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "target_width": integer(512, 1, MAX_RESOLUTION, 1),
            "target_height": integer(512, 1, MAX_RESOLUTION, 1),
            "padding_color": choice("white", "black"),
            "interpolation": choice("area", "bicubic", "nearest-exact", "bilinear", "lanczos"),
        }
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "image/transform"
    FUNCTION = "resize_and_pad"

    def resize_and_pad(
        self, image: Tensor, target_width: int, target_height: int, padding_color: str, interpolation: str
    ) -> tuple[Tensor]:
        """The proportions stay."""
        from noderack_nodes.resize import resize_image

        height, width = image.shape[1:3]
        scale = min(target_width / width, target_height / height)
        wide, high = int(width * scale), int(height * scale)
        value = 0.0 if padding_color == "black" else 1.0
        made = image.new_full((len(image), target_height, target_width, image.shape[-1]), value)
        top, left = (target_height - high) // 2, (target_width - wide) // 2
        made[:, top : top + high, left : left + wide] = resize_image(image, wide, high, interpolation)
        return (made,)


NODES: Mappings = {node.__name__: node for node in (PorterDuffImageComposite, ImageStitch, ResizeAndPadImage)}
NAMES = {"PorterDuffImageComposite": "Porter-Duff Image Composite", "ImageStitch": "Image Stitch"}
