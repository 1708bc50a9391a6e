"""What goes beside the latent's channels into networks that take more of them: those that fill holes, change
a picture as told, draw a small picture large, or draw after a map of depths.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from noderack_diffusion.errors import MismatchError
from noderack_diffusion.lowres import level_of, noised
from noderack_diffusion.spec import LatentFormat

NOTHING = (0.8223, -0.6876, 0.6364, 0.1380)
"""The scaled latent of a plain grey picture, which stands for "no picture given"."""

Beside = Callable[[Mapping[str, Any], Tensor, "Tensor | None", LatentFormat], Tensor]
"""(conditioning entry, unscaled latent, denoise mask, format) -> extra channels ``[B, c, h, w]``."""


def _fit(value: Tensor, like: Tensor) -> Tensor:
    """A latent at the size and batch of another: cut around the middle to its proportions, then bilinear."""
    h, w = like.shape[-2:]
    if value.shape[-2:] != like.shape[-2:]:
        wide, high = value.shape[-1], value.shape[-2]
        if wide * h > high * w:
            cut = round((wide - high * w / h) / 2)
            value = value[..., cut : wide - cut]
        else:
            cut = round((high - wide * h / w) / 2)
            value = value[..., cut : high - cut, :]
        value = F.interpolate(value.float(), size=(h, w), mode="bilinear")
    return value.repeat(-(-like.shape[0] // value.shape[0]), 1, 1, 1)[: like.shape[0]]


def _mask(mask: Tensor, like: Tensor) -> Tensor:
    mask = mask[:, :1] if mask.dim() == like.dim() else mask
    mask = mask.reshape(-1, 1, mask.shape[-2], mask.shape[-1]).float()
    if mask.shape[-2:] != like.shape[-2:]:
        mask = F.interpolate(mask, size=like.shape[-2:], mode="bilinear")
    return mask.round().repeat(-(-like.shape[0] // mask.shape[0]), 1, 1, 1)[: like.shape[0]]


def _inpaint(entry: Mapping[str, Any], latent: Tensor, mask: Tensor | None, form: LatentFormat) -> Tensor:
    """The mask, then the picture with the masked part grey; both from the entry, else from the run."""
    hole = entry.get("concat_mask", mask)
    if hole is None:
        grey = torch.tensor(NOTHING).view(1, -1, 1, 1)
        return torch.cat([torch.ones_like(latent[:, :1]), grey.to(latent) * torch.ones_like(latent)], dim=1)
    given = entry.get("concat_latent_image")
    picture = (latent if given is None else given).float()
    return torch.cat([_mask(hole, latent), _fit(form.into(picture), latent)], dim=1)


def _instruct(entry: Mapping[str, Any], latent: Tensor, mask: Tensor | None, form: LatentFormat) -> Tensor:
    """The picture to be changed, unscaled."""
    given = entry.get("concat_latent_image")
    return torch.zeros_like(latent) if given is None else _fit(given, latent)


def _small(entry: Mapping[str, Any], latent: Tensor, mask: Tensor | None, form: LatentFormat) -> Tensor:
    """The picture to be drawn large, with some noise on it."""
    given = entry.get("concat_image")
    if given is None:
        return torch.zeros_like(latent[:, :3])
    picture, level = _fit(given.float(), latent[:1].expand(given.shape[0], -1, -1, -1)), level_of(entry)
    return _fit(noised(picture, level, entry.get("seed") or 0) if level else picture, latent)


def _depths(entry: Mapping[str, Any], latent: Tensor, mask: Tensor | None, form: LatentFormat) -> Tensor:
    """How near each place is, from -1 for the farthest of a picture to 1 for its nearest."""
    given = entry.get("concat_depth")
    if given is None:
        raise MismatchError(
            "this model draws after a map of depths: put one on its prompts with NoderackDepthConditioning"
        )
    size = latent.shape[-2:]
    depths = F.interpolate(given.to(latent.device, torch.float32), size=size, mode="bicubic")
    low, high = (f(depths, dim=(1, 2, 3), keepdim=True) for f in (torch.amin, torch.amax))
    return _fit((depths - low) / (high - low).clamp(min=1e-6) * 2.0 - 1.0, latent)


BESIDE: Mapping[int, Beside] = {5: _inpaint, 4: _instruct, 3: _small, 1: _depths}
"""By the number of channels that a network takes beyond the latent's."""


def beside(
    extra: int, entry: Mapping[str, Any], latent: Tensor, mask: Tensor | None, form: LatentFormat
) -> Tensor | None:
    """The extra channels of a network that takes ``extra`` of them; None if it takes none."""
    return BESIDE[extra](entry, latent.float(), mask, form) if extra else None
