"""A VAE as packs ask for it: its sizes, its network, what it wants of memory."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from noderack_diffusion import activations

if TYPE_CHECKING:
    from noderack_diffusion.autoencoder import Vae


class Pictured:
    """The attributes that packs read off a VAE."""

    latent_dim = 2
    output_channels = 3
    crop_input = True
    not_video = True
    disable_offload = False
    downscale_index_formula = upscale_index_formula = None
    extra_1d_channel = None

    if TYPE_CHECKING:
        config: Any
        live: Any

    @property
    def first_stage_model(self) -> nn.Module:
        """The network (pictures there are ``[B, 3, H, W]`` in -1..1)."""
        return cast("Vae", self).network()

    @property
    def patcher(self) -> "Holder":
        """What packs load and move."""
        return Holder(cast("Vae", self))

    @property
    def downscale_ratio(self) -> int:
        """Pixels to a cell."""
        factor: int = self.config.factor
        return factor

    @property
    def upscale_ratio(self) -> int:
        return self.downscale_ratio

    def spacial_compression_encode(self) -> int:
        return self.downscale_ratio

    def spacial_compression_decode(self) -> int:
        return self.downscale_ratio

    def temporal_compression_decode(self) -> None:
        """For video's."""

    @property
    def latent_channels(self) -> int:
        channels: int = self.config.latent
        return channels

    @property
    def device(self) -> torch.device:
        device: torch.device = self.live.device
        return device

    @property
    def output_device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def vae_dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.live.dtype
        return dtype

    @property
    def working_dtypes(self) -> list[torch.dtype]:
        return [self.vae_dtype, torch.float32]

    def process_input(self, image: Tensor) -> Tensor:
        """0..1 to the network's range."""
        return image * 2.0 - 1.0

    def process_output(self, image: Tensor) -> Tensor:
        """And back, in place."""
        return image.add_(1.0).div_(2.0).clamp_(0.0, 1.0)

    def vae_encode_crop_pixels(self, pixels: Tensor) -> Tensor:
        """Pictures ``[B, H, W, C]`` cut to whole cells and three channels."""
        from noderack_diffusion.autoencoder import crop_to_cells

        return crop_to_cells(pixels, self.downscale_ratio)[..., : self.output_channels]

    def memory_used_encode(self, shape: Any, dtype: torch.dtype) -> int:
        """Bytes for pictures ``[B, 3, H, W]``."""
        return activations.encode(self.config, (shape[2], shape[3])) * dtype.itemsize

    def memory_used_decode(self, shape: Any, dtype: torch.dtype) -> int:
        """Bytes for latents ``[B, C, h, w]``."""
        return activations.decode(self.config, (shape[2], shape[3])) * dtype.itemsize

    def get_sd(self) -> dict[str, Tensor]:
        """All weights by name."""
        return dict(self.first_stage_model.state_dict())

    def throw_exception_if_invalid(self) -> None:
        """A VAE that is here was read whole."""

    def model_size(self) -> int:
        """Bytes of weights."""
        return sum(value.nelement() * value.element_size() for value in self.get_sd().values())

    def is_dynamic(self) -> bool:
        return False


def tiles(tile: int, overlap: int, given: Mapping[str, Any]) -> tuple[int, int]:
    """The tile's side and overlap, of what packs may say for each axis of a picture or a video."""
    sides = [given[name] for name in ("tile_x", "tile_y") if given.get(name) is not None]
    return (max(sides) if sides else tile), overlap


class Holder:
    """A VAE seen as the holder of its weights."""

    def __init__(self, vae: "Vae") -> None:
        self.vae = vae
        self.model_options: dict[str, Any] = {}

    @property
    def model(self) -> nn.Module:
        return self.vae.network()

    @property
    def load_device(self) -> torch.device:
        return self.vae.device

    @property
    def offload_device(self) -> torch.device:
        return torch.device("cpu")

    def model_size(self) -> int:
        return self.vae.model_size()

    def current_loaded_device(self) -> torch.device:
        return self.load_device

    def is_clone(self, other: Any) -> bool:
        """Whether both are over the same weights."""
        return getattr(getattr(other, "vae", None), "live", None) is self.vae.live
