"""The handle that a VAE socket carries: pictures to latents and back."""

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from noderack_diffusion.errors import MismatchError
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.patching.pictures import Pictured, tiles
from noderack_diffusion.strips import Strips
from noderack_diffusion.tiling import Scale, Tile, averaged, tiled, tilings
from noderack_diffusion.vae import AutoencoderKL, VaeConfig
from noderack_diffusion.weights import Live

Mode = Literal["compatible", "once", "exact"]
DECODING = 2178 * 64
"""How many numbers decoding has in memory at once at most for each latent cell, about."""
STRIP = 512
"""The side, in pixels, of a square of as many as a strip has where nobody says."""


@dataclass(frozen=True, eq=False)
class Vae(Pictured):
    """An autoencoder. Pictures are ``[B, H, W, 3]`` in 0..1, latents ``[B, C, h, w]`` unscaled."""

    config: VaeConfig
    live: Live

    @property
    def key(self) -> str:
        """Names its file."""
        return self.live.key

    def network(self) -> AutoencoderKL:
        """The network itself (pictures there are ``[B, 3, H, W]`` in -1..1)."""
        return cast(AutoencoderKL, self.live.use(PatchSet()))

    @torch.no_grad()
    def decode(self, latent: Tensor, vae_options: Any = None) -> Tensor:
        """Latents -> pictures, one after the other so that memory does not grow with the batch. Packs may
        pass ``vae_options``, which other makes of autoencoders have.
        """
        if latent.dim() != 4 or latent.shape[1] != self.config.latent:
            raise MismatchError(
                f"this VAE decodes latents [B, {self.config.latent}, h, w]; this one is {list(latent.shape)}"
            )
        cells = latent.shape[2] * latent.shape[3] * self.live.dtype.itemsize
        network = cast(AutoencoderKL, self.live.use(PatchSet(), DECODING * cells))
        pictures = torch.cat([self._decoded(network, row) for row in torch.split(latent, 1)])
        return pictures.add_(1.0).div_(2.0).clamp_(0.0, 1.0).movedim(1, -1)

    def _decoded(self, network: AutoencoderKL, row: Tensor) -> Tensor:
        """One latent; in strips where the device has no room for the whole."""
        try:
            if not self.live.fits:
                return self._strips(STRIP).decode(network, row)
            return network.decode(row.to(self.live.device, self.live.dtype)).float().cpu()
        except torch.OutOfMemoryError:
            pass  # outside of the handler, so that what failed is freed
        return self._strips(STRIP).decode(network, row)

    def _strips(self, side: int) -> Strips:
        return Strips(side * side, self.live.device, self.live.dtype)

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """Pictures -> latents (the mean, no randomness). What does not fill a cell is cut off around the
        middle.
        """
        pixels = crop_to_cells(image, self.config.factor)[..., :3].movedim(-1, 1)
        network, live = self.network(), self.live
        rows = (
            network.encode((row.float() * 2.0 - 1.0).to(live.device, live.dtype))
            for row in torch.split(pixels, 1)
        )
        return torch.cat([row.float().cpu() for row in rows])

    @torch.no_grad()
    def decode_tiled(
        self,
        latent: Tensor,
        tile: int = 64,
        overlap: int = 16,
        *,
        mode: Mode = "compatible",
        **axes: int | None,
    ) -> Tensor:
        """As ``decode``, in tiles of ``tile`` cells. ``compatible`` averages three tilings, ``once`` has one;
        ``exact`` walks strips of as many pixels and gives what ``decode`` gives. Packs name the tile
        ``tile_x`` and ``tile_y``.
        """
        tile, overlap = tiles(tile, overlap, axes)
        network, live, factor = self.network(), self.live, self.config.factor
        if mode == "exact":
            strips = self._strips(tile * factor)
            pictures = torch.cat([strips.decode(network, row) for row in torch.split(latent, 1)])
            return pictures.add_(1.0).div_(2.0).clamp_(0.0, 1.0).movedim(1, -1)

        def run(shape: Tile) -> Tensor:
            scale = Scale(up=factor)
            return tiled(one, latent, shape, overlap, scale, self.config.colours)

        def one(part: Tensor) -> Tensor:
            return network.decode(part.to(live.device, live.dtype))

        pictures = averaged(run, tilings(tile, compatible=mode == "compatible"))
        return ((pictures + 1.0) / 2.0).clamp(0.0, 1.0).movedim(1, -1)

    @torch.no_grad()
    def encode_tiled(
        self,
        image: Tensor,
        tile: int = 512,
        overlap: int = 64,
        *,
        mode: Mode = "compatible",
        **axes: int | None,
    ) -> Tensor:
        """As ``encode``, in tiles of ``tile`` pixels; ``mode`` and ``axes`` as for ``decode_tiled``."""
        tile, overlap = tiles(tile, overlap, axes)
        network, live, factor = self.network(), self.live, self.config.factor
        pixels = crop_to_cells(image, factor)[..., :3].movedim(-1, 1).float() * 2.0 - 1.0
        if mode == "exact":
            strips = self._strips(tile)
            return torch.cat([strips.encode(network, row) for row in torch.split(pixels, 1)])

        def run(shape: Tile) -> Tensor:
            scale = Scale(down=factor)
            return tiled(one, pixels, shape, overlap, scale, self.config.latent)

        def one(part: Tensor) -> Tensor:
            return network.encode(part.to(live.device, live.dtype))

        return averaged(run, tilings(tile, compatible=mode == "compatible"))


def crop_to_cells(image: Tensor, factor: int) -> Tensor:
    """Pictures ``[B, H, W, C]`` cut to multiples of ``factor`` around their middle."""
    height, width = image.shape[1] // factor * factor, image.shape[2] // factor * factor
    if not height or not width:
        raise MismatchError(
            f"the picture is {image.shape[2]}x{image.shape[1]}; the least is {factor}x{factor}"
        )
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]
