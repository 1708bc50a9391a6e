"""Tiles: every pixel covered, nothing changed where the network is local."""

from collections.abc import Callable

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

    def run(self, patches: object, activations: int, work: Callable[[AutoencoderKL], Tensor]) -> Tensor:
        return work(self.network)

    def use(self, patches: object) -> AutoencoderKL:
        return self.network

    def has_room(self, activations: int) -> bool:
        return True


@pytest.mark.parametrize("mode", ["compatible", "once"])
def test_a_picture_in_tiles_is_near_the_whole(mode: str) -> None:
    torch.manual_seed(0)
    config = VaeConfig(width=8, mults=(1, 2), encoder_blocks=1, decoder_blocks=1, groups=4)
    vae = Vae(config, Fixed(AutoencoderKL(config).eval()))
    latent = torch.randn(1, 4, 24, 20)
    whole, parts = vae.decode(latent), vae.decode_tiled(latent, 16, 4, mode=mode)
    assert parts.shape == whole.shape and float((parts - whole).abs().mean()) < 0.05
    small = vae.decode_tiled(latent[..., :8, :8], 16, 4, mode="once")
    assert torch.allclose(small, vae.decode(latent[..., :8, :8]), atol=1e-5)
    image = torch.rand(1, 48, 40, 3)
    assert vae.encode_tiled(image, 32, 8).shape == vae.encode(image).shape
    assert tilings(64, compatible=True) == ((32, 128), (128, 32), (64, 64))


@pytest.mark.parametrize("size", [(24, 20), (9, 33)])
def test_a_picture_in_strips_is_the_whole(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    config = VaeConfig(width=8, mults=(1, 2, 4), encoder_blocks=1, decoder_blocks=2, groups=4)
    vae = Vae(config, Fixed(AutoencoderKL(config).eval()))
    latent, image = torch.randn(2, 4, *size), torch.rand(2, 4 * size[0], 4 * size[1], 3)
    assert torch.allclose(vae.decode_tiled(latent, 6, mode="exact"), vae.decode(latent), atol=1e-5)
    assert torch.allclose(vae.encode_tiled(image, 24, mode="exact"), vae.encode(image), atol=1e-5)


def test_what_does_not_fit_is_decoded_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    config = VaeConfig(width=8, mults=(1, 2), encoder_blocks=1, decoder_blocks=1, groups=4)
    vae, latent = Vae(config, Fixed(AutoencoderKL(config).eval())), torch.randn(1, 4, 8, 8)
    whole = vae.decode(latent)

    def full(_: object) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(vae.network(), "decode", full)
    assert torch.allclose(vae.decode(latent), whole, atol=1e-5)
