"""The families of models, as rows of a table: how a file is recognised, and what follows from it.

A new family is a new row here (and, if its network is new, one file beside ``unet.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from noderack_diffusion import lowres
from noderack_diffusion.unclip import Seen
from noderack_diffusion.unet import UNetConfig
from noderack_diffusion.vae import VaeConfig


@dataclass(frozen=True, slots=True)
class LatentFormat:
    """How latents of the autoencoder become those of the network: ``(z - shift) * scale``.

    With ``spread`` each channel has a ``mean`` in place of the shift, and is divided by its spread.
    """

    channels: int = 4
    factor: int = 8
    scale: float = 0.18215
    shift: float = 0.0
    mean: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()

    def into(self, latent: Tensor) -> Tensor:
        """The network's latent of one ``[B, C, ...]`` of the autoencoder."""
        if not self.spread:
            return (latent - self.shift) * self.scale
        mean, spread = self._channels(latent)
        return (latent - mean) * self.scale / spread

    def back(self, latent: Tensor) -> Tensor:
        """The autoencoder's latent of one of the network."""
        if not self.spread:
            return latent / self.scale + self.shift
        mean, spread = self._channels(latent)
        return latent * spread / self.scale + mean

    def _channels(self, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = 1, -1, *[1] * (like.dim() - 2)
        rows = (torch.tensor(v, dtype=like.dtype, device=like.device) for v in (self.mean, self.spread))
        mean, spread = (row.view(shape) for row in rows)
        return mean, spread


@dataclass(frozen=True, slots=True)
class TowerRecipe:
    """One text tower of a family and how it is used.

    ``places`` are the prefixes it may have in a checkpoint, with the layout below each ("hf", "bare" or
    "open_clip"). ``layer`` -1 is the last; ``final_norm`` says whether the last norm follows it; ``pad``
    fills short prompts.
    """

    name: str
    places: tuple[tuple[str, str], ...]
    layer: int = -1
    final_norm: bool = True
    pad: int = 49407


@dataclass(frozen=True, slots=True)
class Family:
    """One row. ``wants`` names fields of UNetConfig and the values that they must have."""

    name: str
    title: str
    wants: Mapping[str, tuple[object, ...]]
    latent: LatentFormat
    towers: tuple[TowerRecipe, ...]
    prediction: str = "eps"
    label: str = "none"
    pooled_from: int = 0
    betas: tuple[float, float] = (0.00085, 0.012)
    """The ends of the noise schedule."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a file turned out to be."""

    family: Family
    unet: UNetConfig | None
    vae: VaeConfig | None
    why: str
    prediction: str = "eps"
    zero_snr: bool = False
    seen: Seen | None = None
    """How vectors of pictures lie, for models that are told what CLIP saw."""


UNET_PREFIXES = ("model.diffusion_model.", "model.model.", "net.", "diffusion_model.", "unet.", "")
VAE_PREFIXES = ("first_stage_model.", "vae.", "")

_L_SD1 = (
    ("cond_stage_model.transformer.", "hf"),
    ("cond_stage_model.", "hf"),
    ("cond_stage_model.transformer.", "bare"),
    ("text_encoders.clip_l.transformer.", "hf"),
)
_L_SDXL = (("conditioner.embedders.0.transformer.", "hf"), ("text_encoders.clip_l.transformer.", "hf"))
_G_SDXL = (("conditioner.embedders.1.model.", "open_clip"), ("text_encoders.clip_g.transformer.", "hf"))
_G_REFINER = (("conditioner.embedders.0.model.", "open_clip"), ("text_encoders.clip_g.transformer.", "hf"))
_H_SD2 = (("cond_stage_model.model.", "open_clip"), ("cond_stage_model.transformer.", "hf"))

_SD1_TOWER = TowerRecipe("l", _L_SD1)
_SD2_TOWER = TowerRecipe("h", _H_SD2, layer=-2, final_norm=True, pad=0)
_SDXL_L = TowerRecipe("l", _L_SDXL, layer=-2, final_norm=False)
_SDXL_G = TowerRecipe("g", _G_SDXL, layer=-2, final_norm=False, pad=0)
_REFINER_G = TowerRecipe("g", _G_REFINER, layer=-2, final_norm=False, pad=0)

SD = LatentFormat()
SDXL = LatentFormat(scale=0.13025)
PLAYGROUND = LatentFormat(
    scale=0.5, mean=(-1.6574, 1.886, -1.383, 2.5155), spread=(8.4927, 5.9022, 6.5498, 5.2299)
)
"""Of Playground 2.5, an SDXL in EDM's terms (Li et al., 2024)."""
DRAWS = (4, 8, 9)
"""Channels of networks that draw, that change a picture as told, that fill holes."""
DEPTH = 5
"""Channels of networks that draw after a map of depths."""
X4 = LatentFormat(factor=4, scale=0.08333)
"""Of the upscaler of Stable Diffusion 2, whose autoencoder halves twice only."""

FAMILIES: tuple[Family, ...] = (
    Family(
        "sdxl",
        "Stable Diffusion XL",
        {"linear_proj": (True,), "context": (2048,), "adm": (2816,), "in_channels": DRAWS},
        SDXL,
        (_SDXL_L, _SDXL_G),
        label="size",
        pooled_from=1,
    ),
    Family(
        "sdxl_refiner",
        "Stable Diffusion XL refiner",
        {"linear_proj": (True,), "context": (1280,), "adm": (2560,)},
        SDXL,
        (_REFINER_G,),
        label="aesthetic",
    ),
    Family(
        "sd2",
        "Stable Diffusion 2",
        {"linear_proj": (True,), "context": (1024,), "adm": (0,), "in_channels": (*DRAWS, DEPTH)},
        SD,
        (_SD2_TOWER,),
        prediction="probe",
    ),
    Family(
        "sd2_unclip",
        "Stable Diffusion 2 unCLIP",
        {"linear_proj": (True,), "context": (1024,), "adm": (1536, 2048)},
        SD,
        (_SD2_TOWER,),
        prediction="v",
        label="unclip",
    ),
    Family(
        "sd_x4",
        "Stable Diffusion 2's upscaler",
        {"linear_proj": (True,), "context": (1024,), "classes": (1000,), "in_channels": (7,)},
        X4,
        (_SD2_TOWER,),
        prediction="v",
        label="level",
        betas=lowres.BETAS,
    ),
    Family(
        "sd1",
        "Stable Diffusion 1",
        {"linear_proj": (False,), "adm": (0,), "in_channels": DRAWS},
        SD,
        (_SD1_TOWER,),
    ),
)
