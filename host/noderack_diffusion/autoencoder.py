"""The handle that a VAE socket carries: pictures to latents and back."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from noderack_diffusion import activations
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.patching.pictures import Pictured, tiles
from noderack_diffusion.strips import Strips
from noderack_diffusion.tiling import Scale, Tile, averaged, tiled, tilings
from noderack_diffusion.vae import AutoencoderKL, VaeConfig
from noderack_diffusion.weights import Live

Mode = Literal["compatible", "once", "exact"]
Work = Callable[[AutoencoderKL], Tensor]
_STRIPPED = 6
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
        pictures = torch.cat([self._decoded(row) for row in torch.split(latent, 1)])
        return pictures.add_(1.0).div_(2.0).clamp_(0.0, 1.0).movedim(1, -1)

    def _decoded(self, row: Tensor) -> Tensor:
        """One latent; in strips where the device has no room for the whole."""
        live, strips = self.live, self._strips(STRIP)
        need = self._bytes(activations.decode(self.config, (row.shape[2], row.shape[3])))

        def whole(network: AutoencoderKL) -> Tensor:
            return network.decode(row.to(live.device, live.dtype)).float().cpu()

        return self._whole_or(need, whole, lambda network: strips.decode(network, row), STRIP)

    def _whole_or(self, need: int, whole: Work, parts: Work, side: int) -> Tensor:
        """All at once; in strips of ``side`` squared pixels if the device has no room, or says so then."""
        if self.live.has_room(need):
            try:
                return self._run(need, whole)
            except torch.OutOfMemoryError:
                pass  # outside of the handler, so that what failed is freed
        return self._run(min(need, self._strip_bytes(side)), parts)

    def _run(self, need: int, work: Work) -> Tensor:
        return self.live.run(PatchSet(), need, cast("Callable[[nn.Module], Tensor]", work))

    def _bytes(self, numbers: int) -> int:
        return numbers * self.live.dtype.itemsize

    def _strip_bytes(self, side: int) -> int:
        """What the device has of a strip: input, changed input, output, and its rows twice as large."""
        return self._bytes(_STRIPPED * self.config.width * max(self.config.mults) * side * side)

    def _strips(self, side: int) -> Strips:
        return Strips(side * side, self.live.device, self.live.dtype)

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """Pictures -> latents (the mean, no randomness). What does not fill a cell is cut off around the
        middle.
        """
        pixels = crop_to_cells(image, self.config.factor)[..., :3].movedim(-1, 1)
        return torch.cat([self._encoded(row) for row in torch.split(pixels, 1)])

    def _encoded(self, pixels: Tensor) -> Tensor:
        """One picture; in strips where the device has no room for the whole."""
        live, strips, row = self.live, self._strips(STRIP), pixels.float() * 2.0 - 1.0
        need = self._bytes(activations.encode(self.config, (row.shape[2], row.shape[3])))

        def whole(network: AutoencoderKL) -> Tensor:
            return network.encode(row.to(live.device, live.dtype)).float().cpu()

        return self._whole_or(need, whole, lambda network: strips.encode(network, row), STRIP)

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
        live, factor = self.live, self.config.factor
        if mode == "exact":
            strips = self._strips(tile * factor)
            whole = self._bytes(activations.decode(self.config, (latent.shape[2], latent.shape[3])))
            need = min(whole, self._strip_bytes(tile * factor))
            rows = torch.split(latent, 1)
            pictures = torch.cat([self._run(need, partial(strips.decode, latent=row)) for row in rows])
            return pictures.add_(1.0).div_(2.0).clamp_(0.0, 1.0).movedim(1, -1)

        def run(shape: Tile) -> Tensor:
            scale = Scale(up=factor)
            return tiled(one, latent, shape, overlap, scale, self.config.colours)

        def one(part: Tensor) -> Tensor:
            need = self._bytes(activations.decode(self.config, (part.shape[2], part.shape[3])))
            return self._run(need, lambda network: network.decode(part.to(live.device, live.dtype)))

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
        live, factor = self.live, self.config.factor
        pixels = crop_to_cells(image, factor)[..., :3].movedim(-1, 1).float() * 2.0 - 1.0
        if mode == "exact":
            strips, rows = self._strips(tile), torch.split(pixels, 1)
            whole = self._bytes(activations.encode(self.config, (pixels.shape[2], pixels.shape[3])))
            need = min(whole, self._strip_bytes(tile))
            return torch.cat([self._run(need, partial(strips.encode, picture=row)) for row in rows])

        def run(shape: Tile) -> Tensor:
            scale = Scale(down=factor)
            return tiled(one, pixels, shape, overlap, scale, self.config.latent)

        def one(part: Tensor) -> Tensor:
            need = self._bytes(activations.encode(self.config, (part.shape[2], part.shape[3])))
            return self._run(need, lambda network: network.encode(part.to(live.device, live.dtype)))

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
