"""Small pictures of a latent while it is sampled: a linear map from its channels to colours.

The map is fitted to the autoencoder of the model's own file when the first picture is asked for, on a few
random patches that it decodes. So there is no table of colours, and every family has previews whose file
holds its autoencoder.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from noderack_diffusion.autoencoder import Vae
from noderack_diffusion.spec import LatentFormat

CELLS, PATCHES = 12, 4  # side of the fitted latent, and of the coarse noise that it is made of
SPREAD = 0.9  # of the noise, in standard deviations of a latent
LEAST_SIDE = 256  # pixels: smaller pictures are enlarged


class Window:
    """Shows latents of a network, of which ``vae`` is the autoencoder."""

    def __init__(self, vae: Vae, scale: LatentFormat) -> None:
        self._vae, self._scale = vae, scale
        self._map: Tensor | None = None

    def picture(self, clean: Tensor) -> Tensor:
        """The first of ``clean`` [B, C, h, w], as the network has it -> uint8 [H, W, 3] on the CPU."""
        if self._map is None:
            self._map = fitted(self._vae, self._scale)
        cells = clean[:1].float().cpu()
        colours = torch.einsum("bchw,cr->brhw", _with_one(cells), self._map)
        times = max(1.0, LEAST_SIDE / max(cells.shape[-2:]))
        large = F.interpolate(colours, scale_factor=times, mode="bilinear") if times > 1 else colours
        return (large[0].movedim(0, -1).clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


def fitted(vae: Vae, scale: LatentFormat) -> Tensor:
    """[C + 1, 3]: channels of a network's latent, and one, to red, green and blue in 0..1 (least squares)."""
    source = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, vae.config.latent, PATCHES, PATCHES, generator=source) * SPREAD
    latent = F.interpolate(coarse, size=(CELLS, CELLS), mode="bilinear")
    shown = vae.decode(scale.back(latent)).float().movedim(-1, 1)
    colours = F.adaptive_avg_pool2d(shown, (CELLS, CELLS))
    rows = _with_one(latent).flatten(2)[0].T
    found: Tensor = torch.linalg.lstsq(rows, colours.flatten(2)[0].T).solution
    return found


def _with_one(latent: Tensor) -> Tensor:
    return torch.cat([latent, torch.ones_like(latent[:, :1])], dim=1)
