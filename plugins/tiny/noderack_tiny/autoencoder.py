"""The autoencoder: learn it on pictures of anything, then fold the statistics of its latents into it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from noderack_diffusion.vae import AutoencoderKL, VaeConfig
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_tiny.draw import SIDE, Picture, draw, draw_anything, random_scene
from noderack_tiny.fit import Recipe, fit

VAE = VaeConfig(width=16, mults=(1, 2, 4, 4), encoder_blocks=1, decoder_blocks=2, groups=8)
SCALE = (
    0.18215  # what Stable Diffusion multiplies latents by; ours are folded so that this makes them N(0, 1)
)

_CROP = 32
_CROPS_UNTIL = 0.7  # of the steps; whole pictures after that
_CROP_BATCH, _WHOLE_BATCH = 32, 10
_NOISE = 0.06  # in standard deviations of the latents: the decoder learns to forgive small mistakes


def as_tensor(pictures: list[Picture]) -> Tensor:
    """Pictures as uint8 [B, 3, 64, 64]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def as_signal(pictures: Tensor) -> Tensor:
    """uint8 pictures as floats in -1..1."""
    return pictures.float() / 127.5 - 1


def new_autoencoder(seed: int) -> AutoencoderKL:
    """Random weights; each residual branch starts silent, which saves the first few hundred steps."""
    torch.manual_seed(seed)
    vae = AutoencoderKL(VAE)
    for name, layer in vae.named_modules():
        if isinstance(layer, nn.Conv2d):
            _start(layer, name)
    return vae


def _start(layer: nn.Conv2d, name: str) -> None:
    nn.init.zeros_(layer.bias) if layer.bias is not None else None
    if name.endswith(("conv2", "attn_1.proj_out")):
        nn.init.zeros_(layer.weight)
    elif name.endswith(("quant_conv", "conv_out")):
        nn.init.xavier_normal_(layer.weight)
    else:
        nn.init.kaiming_normal_(layer.weight)


def learn_autoencoder(
    vae: AutoencoderKL, pictures: int, recipe: Recipe, seed: int, keep: Path
) -> dict[str, float]:
    """Train on pictures drawn once, three quarters of them scenes as the U-Net will see them."""
    rng = np.random.default_rng((seed, 1))
    drawn = as_tensor([draw(random_scene(rng)) if i % 4 else draw_anything(rng) for i in range(pictures)])

    def loss_at(step: int) -> Tensor:
        chance = torch.Generator().manual_seed(seed * 1_000_003 + step)
        x = as_signal(_batch(drawn, step < _CROPS_UNTIL * recipe.steps, chance))
        z = vae.encode(x)
        noise = torch.randn(z.shape, generator=chance) * (_NOISE * z.detach().std())
        y = vae.decode(z + noise)
        return (y - x).abs().mean() + F.mse_loss(y, x) + 1e-4 * (z * z).mean()

    return fit(vae, loss_at, recipe, keep)


def _batch(drawn: Tensor, crops: bool, chance: torch.Generator) -> Tensor:
    if not crops:
        return drawn[torch.randint(len(drawn), (_WHOLE_BATCH,), generator=chance)]
    chosen = torch.randint(len(drawn), (_CROP_BATCH,), generator=chance).tolist()
    corners = torch.randint(SIDE - _CROP + 1, (_CROP_BATCH, 2), generator=chance).tolist()
    return torch.stack(
        [drawn[i, :, y : y + _CROP, x : x + _CROP] for i, (y, x) in zip(chosen, corners, strict=True)]
    )


@torch.no_grad()
def encode_all(vae: AutoencoderKL, pictures: Tensor, batch: int = 100) -> Tensor:
    """The latents of uint8 pictures, in the U-Net's scale."""
    parts = (pictures[at : at + batch] for at in range(0, len(pictures), batch))
    return torch.cat([vae.encode(as_signal(part)) * SCALE for part in parts])


@torch.no_grad()
def fold(vae: AutoencoderKL, pictures: Tensor) -> None:
    """Change the basis of the latents so that, times SCALE, those of `pictures` have mean 0 and covariance 1.

    Both quant convolutions are 1x1, so the change is exact: what goes in still comes out.
    """
    z = encode_all(vae, pictures).double().transpose(0, 1).flatten(1) / SCALE
    mean = z.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(torch.cov(z))
    narrow, widen = ((vectors * values**power) @ vectors.T for power in (-0.5, 0.5))
    weights = dict(vae.named_parameters())
    into, shift = weights["quant_conv.weight"], weights["quant_conv.bias"]
    into[:4, :, 0, 0] = (narrow @ into[:4, :, 0, 0].double() / SCALE).float()
    shift[:4] = (narrow @ (shift[:4].double() - mean[:, 0]) / SCALE).float()
    out, shift = weights["post_quant_conv.weight"], weights["post_quant_conv.bias"]
    kernel = out[:, :, 0, 0].double()
    shift.add_((kernel @ mean[:, 0]).float())
    out[:, :, 0, 0] = (kernel @ widen * SCALE).float()
