"""VAE in tiles: pictures larger than memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.latent import PIXELS_PER_LATENT, crop_to_grid
from noderack_nodes.sockets import IMAGE, LATENT, VAE, Inputs, Latent, Mappings, Node, choice, integer

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_OVERLAP = integer(64, 0, 4096, 32)
_FRAMES = {"temporal_size": integer(64, 8, 4096, 4), "temporal_overlap": integer(8, 4, 4096, 4)}
_MODE: Inputs = {"optional": {"mode": choice("compatible", "once", "exact")}}
"""Ours: `exact` gives what the whole would give, in strips; `once` has one tiling in place of three."""


def fitting(tile: int, overlap: int) -> int:
    """The overlap, at most a quarter of the tile."""
    return tile // 4 if tile < overlap * 4 else overlap


def _told(mode: str) -> dict[str, str]:
    """What is handed on: nothing where it is as usual, because packs bring VAEs of their own."""
    return {} if mode == "compatible" else {"mode": mode}


class VAEDecodeTiled(Node):
    """Latents to pixels, a tile at a time."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "samples": LATENT,
            "vae": VAE,
            "tile_size": integer(512, 64, 4096, 32),
            "overlap": _OVERLAP,
            **_FRAMES,
        },
        **_MODE,
    }
    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "_for_testing"
    FUNCTION = "decode"

    def decode(
        self,
        vae: Any,
        samples: Latent,
        tile_size: int,
        overlap: int = 64,
        temporal_size: int = 64,
        temporal_overlap: int = 8,
        mode: str = "compatible",
    ) -> tuple[Tensor]:
        """Sizes are in pixels; the temporal ones are for video VAEs and change nothing here. `exact` takes
        strips of as many pixels, over which norms go as over the whole.
        """
        cells = PIXELS_PER_LATENT
        overlap = fitting(tile_size, overlap)
        latent = samples["samples"]
        return (vae.decode_tiled(latent, tile_size // cells, overlap // cells, **_told(mode)),)


class VAEEncodeTiled(Node):
    """Pixels to latents, a tile at a time."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "pixels": IMAGE,
            "vae": VAE,
            "tile_size": integer(512, 64, 4096, 64),
            "overlap": _OVERLAP,
            **_FRAMES,
        },
        **_MODE,
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "_for_testing"
    FUNCTION = "encode"

    def encode(
        self,
        vae: Any,
        pixels: Tensor,
        tile_size: int,
        overlap: int = 64,
        temporal_size: int = 64,
        temporal_overlap: int = 8,
        mode: str = "compatible",
    ) -> tuple[Latent]:
        """As for decoding."""
        image = crop_to_grid(pixels)[:, :, :, :3]
        return ({"samples": vae.encode_tiled(image, tile_size, overlap, **_told(mode))},)


NODES: Mappings = {"VAEDecodeTiled": VAEDecodeTiled, "VAEEncodeTiled": VAEEncodeTiled}
NAMES = {"VAEDecodeTiled": "VAE Decode (Tiled)", "VAEEncodeTiled": "VAE Encode (Tiled)"}
