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


def _resized(picture: Tensor, interpolation: str, size: tuple[int, int] = (SIDE, SIDE)) -> Tensor:
    """One picture in eight bits, resized to (width, height) as Pillow does it."""
    import numpy
    from PIL import Image

    raw = (picture[..., :3] * 255.0).clamp(0, 255).to(torch.uint8).numpy()
    small = Image.fromarray(raw).resize(size, Image.Resampling[interpolation])
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


TILE = 256
MOST_TILES = 4


def tiles_of(image: Tensor, mask: Tensor | None, sharpening: float) -> tuple[list[Tensor], list[Tensor]]:
    """Pictures ``[B, H, W, 3]`` in square tiles, and for each tile its place as a mask ``[m, h, w]``."""
    height, width = image.shape[1:3]
    mask = torch.ones(1, height, width) if mask is None else mask.float()
    places = _sized(mask[:, None], height, width)
    if 0.75 < height / width < 1.33:
        image, places = cropped(image, "center"), cropped(places.movedim(1, -1), "center").movedim(-1, 1)
        high = wide = 2 * TILE
    elif height < width:
        high, wide = TILE, int(TILE * width / height)
    else:
        high, wide = int(TILE * height / width), TILE
    small = torch.stack([_resized(one, "LANCZOS", (wide, high)) for one in image])
    places = _sized(places, high, wide)[:, 0]
    if max(high, wide) > MOST_TILES * TILE:
        small, places = (_middle(value) for value in (small, places))
    small = sharpened(small, sharpening) if sharpening > 0 else small
    tiles, masks = [], []
    for top in _starts(small.shape[1]):
        for left in _starts(small.shape[2]):
            here = slice(top, top + TILE), slice(left, left + TILE)
            tiles.append(small[:, here[0], here[1]])
            only = torch.zeros_like(places)
            only[:, here[0], here[1]] = places[:, here[0], here[1]]
            masks.append(only)
    return tiles, masks


def _sized(planes: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(planes, (height, width), mode="bicubic", antialias=True)


def _middle(value: Tensor) -> Tensor:
    """``[B, h, w, ...]`` cut to the most tiles along its longer side."""
    axis = 1 if value.shape[1] > value.shape[2] else 2
    return value.narrow(axis, (value.shape[axis] - MOST_TILES * TILE) // 2, MOST_TILES * TILE)


def _starts(side: int) -> list[int]:
    """Where tiles begin that cover a side evenly."""
    count = -(-side // TILE)
    return [round(i * (side - TILE) / (count - 1)) for i in range(count)] if count > 1 else [0]


def noise_of(kind: str, strength: float, blur: int, image: Tensor | None) -> Tensor:
    """Noise ``[B, 224, 224, 3]`` of pictures; the same pictures give the same."""
    if image is None:
        small = torch.zeros(1, SIDE, SIDE, 3)
    else:
        small = _sized(cropped(image, "center")[..., :3].movedim(-1, 1), SIDE, SIDE).movedim(1, -1)
    chance = torch.Generator().manual_seed(int(small.double().sum().abs()) % 1_000_000_007)
    made = NOISES[kind](small, strength, chance).clamp(0, 1)
    return _blurred(made, blur + 1 - blur % 2) if blur else made


def _fade(image: Tensor, strength: float, chance: torch.Generator) -> Tensor:
    return torch.lerp(image, torch.rand(image.shape, generator=chance), strength)


def _dissolve(image: Tensor, strength: float, chance: torch.Generator) -> Tensor:
    gone, noise = (torch.rand(image.shape, generator=chance) for _ in range(2))
    return torch.where(gone < strength, noise, image)


def _gaussian(image: Tensor, strength: float, chance: torch.Generator) -> Tensor:
    return image + torch.randn(image.shape, generator=chance) * strength


def _shuffle(image: Tensor, strength: float, chance: torch.Generator) -> Tensor:
    """Turned upside down, its places moved about and a little noise on it."""
    count, high, wide = image.shape[:3]
    moves = torch.rand(1, high, wide, 2, generator=chance) * 2 - 1
    width = max(1, round((1 - strength) * 14)) * 2 + 1
    moves = _blurred(moves, width) * (150.0 / torch.tensor([wide, high]))
    grid = F.affine_grid(torch.eye(2, 3)[None], [1, 3, high, wide], align_corners=False) + moves
    moved = F.grid_sample(
        image.movedim(-1, 1), grid.expand(count, -1, -1, -1), padding_mode="reflection", align_corners=False
    )
    turned = moved.flip(2, 3).movedim(1, -1)
    noise = torch.randn(image.shape, generator=chance) * (strength * 0.75)
    return turned * (1 - noise) + noise


NOISES: Mapping[str, Callable[[Tensor, float, torch.Generator], Tensor]] = {
    "fade": _fade,
    "dissolve": _dissolve,
    "gaussian": _gaussian,
    "shuffle": _shuffle,
}
"""Kinds of noise, by the names that workflows have for them."""


def _blurred(image: Tensor, width: int) -> Tensor:
    """Gaussian blur over ``width`` (odd) pixels, edges mirrored."""
    sigma, reach = 0.3 * ((width - 1) * 0.5 - 1) + 0.8, width // 2
    row = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (row / row.sum())[None].T @ (row / row.sum())[None]
    planes = image.movedim(-1, 1)
    padded_ = F.pad(planes, (reach, reach, reach, reach), mode="reflect")
    kernels = kernel.expand(planes.shape[1], 1, width, width)
    return F.conv2d(padded_, kernels, groups=planes.shape[1]).movedim(1, -1)
