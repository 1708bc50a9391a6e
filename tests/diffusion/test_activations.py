"""What a pass takes beside the weights: as much as is counted while networks run, and little more."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from noderack_diffusion import activations
from noderack_diffusion.clip import ClipConfig, ClipText
from noderack_diffusion.control import ControlNet
from noderack_diffusion.unet import NO_MIDDLE, Level, UNet, UNetConfig
from noderack_diffusion.vae import AutoencoderKL, VaeConfig
from noderack_diffusion.weights import _NoStart
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

COUNTING = Path(__file__).parents[1] / "benchmarks/activations.py"
MOST = 1.25
sizes = st.tuples(st.integers(5, 48), st.integers(5, 48))
levels = st.builds(
    lambda mult, depth, blocks: Level(mult, (depth,) * blocks, (depth,) * (blocks + 1)),
    *(st.sampled_from((1, 2, 4)), st.integers(0, 2), st.integers(1, 2)),
)
unets = st.builds(
    UNetConfig,
    width=st.sampled_from((32, 64)),
    levels=st.lists(levels, min_size=1, max_size=3).map(tuple),
    middle=st.sampled_from((-2, -1, 1, 2)),
    context=st.sampled_from((64, 256)),
    linear_proj=st.booleans(),
    adm=st.sampled_from((0, 64)),
    heads=st.just(4),
)
vaes = st.builds(
    VaeConfig,
    width=st.sampled_from((32, 64)),
    mults=st.lists(st.sampled_from((1, 2, 4)), min_size=1, max_size=4).map(tuple),
    encoder_blocks=st.integers(1, 2),
    decoder_blocks=st.integers(2, 3),
)
clips = st.builds(
    ClipConfig,
    width=st.sampled_from((64, 128)),
    layers=st.integers(1, 3),
    heads=st.just(4),
    inner=st.sampled_from((256, 512)),
    quick_gelu=st.booleans(),
)
few = settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
SLACK = 1 << 14
"""Numbers: where so few are alive that small vectors count, a fixed part may be too much."""


def most_alive(run: Callable[[], object]) -> int:
    """Bytes of tensors that are alive at once at most."""
    counted: int = runpy.run_path(str(COUNTING))["most_alive"](run)
    return counted


def built(build: Callable[[], nn.Module]) -> Any:
    with torch.device("meta"), _NoStart():
        return build().eval().requires_grad_(False)


def empty(*shape: int) -> Tensor:
    return torch.empty(*shape, device="meta")


def holds(told: int, run: Callable[[], object], *inputs: Tensor) -> None:
    """``told`` numbers are as many as were alive, and at most a quarter more (and ``SLACK``)."""
    counted = (most_alive(run) + 4 * sum(t.numel() for t in inputs)) / 4
    assert counted <= told <= counted * MOST + SLACK


@few
@given(unets, st.integers(1, 4), sizes, st.sampled_from((77, 154)))
def test_unet_and_controlnet(config: UNetConfig, batch: int, size: tuple[int, int], tokens: int) -> None:
    x, time, text = empty(batch, 4, *size), empty(batch), empty(batch, tokens, config.context)
    y = empty(batch, config.adm) if config.adm else None
    network = built(lambda: UNet(config))
    told = activations.unet(config, batch, size, tokens)
    holds(told, lambda: network(x, time, text, y=y), x, text)
    if config.middle == NO_MIDDLE:
        return
    hint, copy = empty(batch, 3, size[0] * 8, size[1] * 8), built(lambda: ControlNet(config))
    told = activations.control(config, batch, size, tokens)
    holds(told, lambda: copy(x, hint, time, text, y=y), x, text, hint)


@few
@given(vaes, sizes)
def test_autoencoder(config: VaeConfig, size: tuple[int, int]) -> None:
    network, latent = built(lambda: AutoencoderKL(config)), empty(1, 4, *size)
    holds(activations.decode(config, size), lambda: network.decode(latent), latent)
    picture = empty(1, 3, size[0] * config.factor, size[1] * config.factor)
    pixels = (picture.shape[2], picture.shape[3])
    holds(activations.encode(config, pixels), lambda: network.encode(picture), picture)


@few
@given(clips, st.integers(1, 4))
def test_text_tower(config: ClipConfig, batch: int) -> None:
    network, vectors = built(lambda: ClipText(config)), empty(batch, 77, config.width)
    end = torch.zeros(batch, dtype=torch.long, device="meta")
    holds(activations.tower(config, batch, 77), lambda: network(vectors, end=end), vectors)


SD15 = UNetConfig(
    levels=tuple(Level(m, (d, d), (d, d, d)) for m, d in ((1, 1), (2, 1), (4, 1), (4, 0))),
)


@pytest.mark.slow
def test_networks_of_true_size() -> None:
    network, text = built(lambda: UNet(SD15)), empty(2, 77, 768)
    for size in ((64, 64), (96, 64)):
        x = empty(2, 4, *size)
        holds(activations.unet(SD15, 2, size, 77), lambda x=x: network(x, empty(2), text), x, text)
    autoencoder, latent = built(lambda: AutoencoderKL(VaeConfig())), empty(1, 4, 128, 128)
    holds(activations.decode(VaeConfig(), (128, 128)), lambda: autoencoder.decode(latent), latent)


def measured(run: Callable[[], object]) -> int:
    """Bytes that torch's allocator of the CPU gave out at most, over what it had given before."""
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    now = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most


def test_what_a_cpu_really_takes() -> None:
    """The allocator's own account; weights are packed by the first pass. Plans are made for devices that
    take a feed-forward layer's tokens all at once, as a CPU does not.
    """
    config = UNetConfig(
        width=64, levels=(Level(1, (1,), (1, 1)), Level(2, (1,), (1, 1))), context=64, heads=4
    )
    network, size = UNet(config).eval(), (64, 48)
    x, time, text = torch.randn(2, 4, *size), torch.ones(2), torch.randn(2, 77, 64)
    told = 4 * activations.unet(config, 2, size, 77)
    with torch.no_grad():
        network(x, time, text)
    taken = measured(lambda: network(x, time, text))
    assert taken <= told <= 1.6 * taken
    vae = VaeConfig(width=32, mults=(1, 2, 4), encoder_blocks=1, decoder_blocks=2)
    autoencoder, latent = AutoencoderKL(vae).eval(), torch.randn(1, 4, 32, 40)
    taken = measured(lambda: autoencoder.decode(latent))
    assert taken <= 4 * activations.decode(vae, (32, 40)) <= 1.5 * taken
