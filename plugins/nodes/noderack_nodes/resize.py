"""Changing the size of images and latents: the methods that existing workflows name, with the same results.

All functions take and give float [B, C, H, W].
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from noderack_nodes.errors import NodeInputError

TORCH_METHODS = ("nearest-exact", "bilinear", "area", "bicubic")


def resize(
    samples: torch.Tensor, width: int, height: int, method: str, crop: str = "disabled"
) -> torch.Tensor:
    """Resize to `height` x `width`; crop "center" first cuts to the new aspect ratio."""
    if crop == "center":
        samples = crop_to_aspect(samples, width, height)
    if method == "bislerp":
        return bislerp(samples, width, height)
    if method == "lanczos":
        return lanczos(samples, width, height)
    if method not in TORCH_METHODS:
        known = ", ".join((*TORCH_METHODS, "bislerp", "lanczos"))
        raise NodeInputError(f"there is no resize method {method!r}; the methods are {known}")
    return interpolate(samples, size=(height, width), mode=method)


def resize_image(
    image: torch.Tensor, width: int, height: int, method: str, crop: str = "disabled"
) -> torch.Tensor:
    """The same for an IMAGE [B, H, W, C]."""
    return resize(image.movedim(-1, 1), width, height, method, crop).movedim(1, -1)


def crop_to_aspect(samples: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Cut equal margins so that the aspect ratio becomes width : height."""
    old_width, old_height = samples.shape[-1], samples.shape[-2]
    old_aspect, new_aspect = old_width / old_height, width / height
    x = y = 0
    if old_aspect > new_aspect:
        x = round((old_width - old_width * (new_aspect / old_aspect)) / 2)
    elif old_aspect < new_aspect:
        y = round((old_height - old_height * (old_aspect / new_aspect)) / 2)
    return samples[..., y : old_height - y, x : old_width - x]


def lanczos(samples: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Lanczos through 8-bit pixels, as Pillow does it."""
    pictures = [_picture(image).resize((width, height), Image.Resampling.LANCZOS) for image in samples]
    arrays = [np.array(picture).astype(np.float32) / 255.0 for picture in pictures]
    stacked = torch.stack([torch.from_numpy(np.atleast_3d(array)).movedim(-1, 0) for array in arrays])
    return stacked.to(samples.device, samples.dtype)


def _picture(image: torch.Tensor) -> Image.Image:
    pixels = (255.0 * image.movedim(0, -1).float().cpu().numpy()).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def bislerp(samples: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Bilinear in place, spherical in value: directions of the channel vectors turn, their lengths blend.

    Latents keep their contrast this way, where plain bilinear would flatten them.
    """
    original, samples = samples.dtype, samples.float()
    wide = _slerp_last_axis(samples.movedim(1, -1).movedim(1, 2), width)  # [B, W', H, C]
    tall = _slerp_last_axis(wide.movedim(1, 2), height)  # [B, H', W', C]
    return tall.movedim(-1, 1).to(original)


def _slerp_last_axis(vectors: torch.Tensor, size: int) -> torch.Tensor:
    """Resample axis 1 of [B, N, M, C] to `size` positions."""
    lower, upper, ratio = _neighbours(vectors.shape[1], size, vectors.device)
    return _slerp(vectors[:, lower], vectors[:, upper], ratio.view(1, -1, 1, 1))


def _neighbours(old: int, new: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each new position the two old ones around it and how far it lies between them."""
    grid = torch.arange(old, dtype=torch.float32, device=device).view(1, 1, 1, -1)
    position = interpolate(grid, size=(1, new), mode="bilinear").view(-1)
    lower = position.floor().long()
    return lower, (lower + 1).clamp(max=old - 1), position - position.floor()


def _slerp(a: torch.Tensor, b: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    a_length, b_length = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    a_unit, b_unit = _unit(a, a_length), _unit(b, b_length)
    cosine = (a_unit * b_unit).sum(-1, keepdim=True)
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    turned = (torch.sin((1.0 - ratio) * angle) / sine) * a_unit + (torch.sin(ratio * angle) / sine) * b_unit
    turned = turned * (a_length * (1.0 - ratio) + b_length * ratio)
    # near 0 and 180 degrees the quotients blow up: keep the first vector, or blend in a straight line
    turned = torch.where(cosine > 1 - 1e-5, a, turned)
    return torch.where(cosine < 1e-5 - 1, a * (1.0 - ratio) + b * ratio, turned)


def _unit(vector: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    return torch.where(length == 0.0, torch.zeros_like(vector), vector / length)
