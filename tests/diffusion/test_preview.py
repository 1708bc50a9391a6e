"""Small pictures of a latent under way: near to what the autoencoder makes of it."""

from pathlib import Path

import torch
import torch.nn.functional as F
from noderack_diffusion.checkpoint import load_checkpoint, load_model

TINY = Path(__file__).parents[2] / "plugins/tiny/models/noderack-shapes.safetensors"


def test_a_window_shows_the_colours_that_the_autoencoder_would() -> None:
    checkpoint = load_checkpoint(TINY)
    assert checkpoint.vae is not None and checkpoint.model.window is not None
    row = torch.linspace(0.1, 0.9, 64)
    image = torch.stack([row.expand(64, 64), row.flip(0).expand(64, 64).T, torch.full((64, 64), 0.3)], -1)
    latent = checkpoint.vae.encode(image[None])
    scale = checkpoint.model.spec.family.latent
    seen = checkpoint.model.window.picture((latent - scale.shift) * scale.scale)
    assert seen.shape == (256, 256, 3) and seen.dtype == torch.uint8
    small = F.adaptive_avg_pool2d(seen.float().movedim(-1, 0)[None] / 255, 8)[0]
    real = F.adaptive_avg_pool2d(image.movedim(-1, 0)[None], 8)[0]
    assert (small - real).abs().mean() < 0.15
    assert checkpoint.model.without_patches().window is checkpoint.model.window


def test_a_file_without_an_autoencoder_has_none() -> None:
    assert load_model(TINY).window is None
