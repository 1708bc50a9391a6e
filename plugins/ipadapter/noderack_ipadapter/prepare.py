"""Pictures made square and small before an image tower sees them."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 224
CROPS: Mapping[str, Callable[[int, int], tuple[int, int]]] = {
    "top": lambda height, width: (0, width // 2),
    "bottom": lambda height, width: (height, width // 2),
    "left": lambda height, width: (height // 2, 0),
    "right": lambda height, width: (height // 2, width),
    "center": lambda height, width: (height // 2, width // 2),
}
"""Where the spare rows and columns are, above and to the left of the square that is kept."""


def prepared(image: Tensor, interpolation: str, position: str, sharpening: float) -> Tensor:
    """Pictures ``[B, H, W, 3]`` in 0..1 as ``[B, 224, 224, 3]``; ``pad`` keeps all of them."""
    square = padded(image) if position == "pad" else cropped(image, position)
    small = torch.stack([_resized(one, interpolation) for one in square])
    return sharpened(small, sharpening) if sharpening > 0 else small


def cropped(image: Tensor, position: str) -> Tensor:
    """The largest square at a side of the pictures, or in their middle."""
    height, width = image.shape[1:3]
    side = min(height, width)
    top, left = CROPS[position](height - side, width - side)
    return image[:, top : top + side, left : left + side]


def padded(image: Tensor) -> Tensor:
    """The pictures in the middle of a black square."""
    height, width = image.shape[1:3]
    side = max(height, width)
    above, before = (side - height) // 2, (side - width) // 2
    edges = (before, side - width - before, above, side - height - above)
    return F.pad(image.movedim(-1, 1), edges).movedim(1, -1)


def _resized(picture: Tensor, interpolation: str) -> Tensor:
    """One picture in eight bits, resized as Pillow does it."""
    import numpy
    from PIL import Image

    raw = (picture[..., :3] * 255.0).clamp(0, 255).to(torch.uint8).numpy()
    small = Image.fromarray(raw).resize((SIDE, SIDE), Image.Resampling[interpolation])
    return torch.from_numpy(numpy.asarray(small).copy()).float() / 255.0


def sharpened(image: Tensor, amount: float) -> Tensor:
    """Contrast-adaptive sharpening (AMD FidelityFX CAS, 2019), 0..1: stronger where contrast is low."""
    x = F.pad(image.movedim(-1, 1), (1, 1, 1, 1))
    height, width = image.shape[1:3]
    around = [x[..., i : i + height, j : j + width] for i in range(3) for j in range(3)]
    cross, whole = torch.stack([around[i] for i in (1, 3, 4, 5, 7)]), torch.stack(around)
    low, high = cross.amin(0) + whole.amin(0), cross.amax(0) + whole.amax(0)
    room = (torch.minimum(low, 2.0 - high) / (high + 1e-5)).clamp(min=0.0).sqrt()
    weight = -room * (amount * (1 / 5 - 1 / 8) + 1 / 8)
    sides = around[1] + around[3] + around[5] + around[7]
    out: Tensor = ((sides * weight + around[4]) / (1 + 4 * weight)).clamp(0, 1)
    return out.movedim(1, -1)
