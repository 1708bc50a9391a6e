"""Tiles: every pixel covered, nothing changed where the network is local."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from noderack_diffusion.autoencoder import Vae
from noderack_diffusion.tiling import Scale, starts, tiled, tilings
from noderack_diffusion.vae import AutoencoderKL, VaeConfig
from torch import Tensor
from torch.nn import functional as F


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.integers(8, 64), st.integers(0, 7))
def test_tiles_cover_everything(length: int, tile: int, overlap: int) -> None:
    covered = {i for s in starts(length, tile, overlap) for i in range(s, min(s + tile, length))}
    assert covered == set(range(length))


@pytest.mark.parametrize("size", [(16, 16), (40, 23), (65, 64)])
def test_a_local_function_is_the_same_in_tiles(size: tuple[int, int]) -> None:
    def grow(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=8.0, mode="nearest") * 2

    x = torch.randn(2, 3, *size)
    got = tiled(grow, x, (24, 24), 8, Scale(up=8), 3)
    assert torch.allclose(got, grow(x), atol=1e-5)


class Fixed:
    device, dtype, key = torch.device("cpu"), torch.float32, "fixed"

    def __init__(self, network: AutoencoderKL) -> None:
        self.network = network

    def use(self, patches: object) -> AutoencoderKL:
        return self.network


@pytest.mark.parametrize("compatible", [True, False])
def test_a_picture_in_tiles_is_near_the_whole(compatible: bool) -> None:
    torch.manual_seed(0)
    config = VaeConfig(width=8, mults=(1, 2), encoder_blocks=1, decoder_blocks=1, groups=4)
    vae = Vae(config, Fixed(AutoencoderKL(config).eval()))
    latent = torch.randn(1, 4, 24, 20)
    whole, parts = vae.decode(latent), vae.decode_tiled(latent, 16, 4, compatible=compatible)
    assert parts.shape == whole.shape and float((parts - whole).abs().mean()) < 0.05
    small = vae.decode_tiled(latent[..., :8, :8], 16, 4, compatible=False)
    assert torch.allclose(small, vae.decode(latent[..., :8, :8]), atol=1e-5)
    image = torch.rand(1, 48, 40, 3)
    assert vae.encode_tiled(image, 32, 8).shape == vae.encode(image).shape
    assert tilings(64, compatible=True) == ((32, 128), (128, 32), (64, 64))
