"""The U-Net and the text tower: learn to draw what captions say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from noderack_diffusion.clip import ClipConfig, ClipText
from noderack_diffusion.tokens import clip_tokenizer
from noderack_diffusion.unet import Level, UNet, UNetConfig
from noderack_diffusion.vae import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from noderack_tiny.autoencoder import as_tensor, encode_all
from noderack_tiny.draw import BASE_SHAPES, caption, draw, nothing, random_scene
from noderack_tiny.fit import Recipe, fit

UNET = UNetConfig(
    width=48,
    levels=(Level(1, (1,), (1, 1)), Level(2, (1,), (1, 1)), Level(2, (0,), (0, 0))),
    context=48,
    heads=2,
    groups=8,
)
TEXT = ClipConfig(width=48, layers=2, heads=2, inner=192)

_TIMES = 1000
_BATCH = 64
_NOTHING = _BATCH // 8  # of each batch learns the empty caption, for guidance
_QUANTILES = tuple(range(100, 1000, 100))
_LOG_SIGMA = (
    0.4,
    1.2,
)  # mean and spread of the noise levels that training dwells on: where shapes are decided


@dataclass(frozen=True, slots=True)
class Schedule:
    """Stable Diffusion 1.5's noise: alpha-bar and ln sigma at each of its 1000 times."""

    alpha_bar: Tensor
    log_sigma: Tensor

    @staticmethod
    def standard() -> Schedule:
        """The scaled-linear betas from 0.00085 to 0.012."""
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, _TIMES, dtype=torch.float64) ** 2
        alpha_bar = (1 - betas).cumprod(0)
        return Schedule(alpha_bar.float(), (((1 - alpha_bar) / alpha_bar).log() / 2).float())

    def noised(self, latents: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """Latents as they are at those times [B]."""
        alpha_bar = self.alpha_bar[times][:, None, None, None]
        return alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise

    def times(self, batch: int, chance: torch.Generator) -> Tensor:
        """Times [batch] whose ln sigma is normal, one from each of `batch` equally likely strata."""
        spread = torch.rand(batch, generator=chance)
        strata = (torch.randperm(batch, generator=chance) + spread) / batch
        mean, deviation = _LOG_SIGMA
        wanted = mean + deviation * torch.special.ndtri(strata.clamp(1e-4, 1 - 1e-4))
        return torch.searchsorted(self.log_sigma, wanted).clamp(0, _TIMES - 1)


@dataclass(frozen=True, slots=True)
class Lessons:
    """Latents [N, 4, 8, 8], wordings of each as tokens [N, W, 77], and negative prompts as tokens [M, 77]."""

    latents: Tensor
    tokens: Tensor
    nothing: Tensor

    def batch(self, size: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Latents and tokens of randomly chosen scenes, each in one of its wordings."""
        chosen = torch.randint(len(self.latents), (size,), generator=chance)
        wording = torch.randint(self.tokens.shape[1], (size,), generator=chance)
        return self.latents[chosen], self.tokens[chosen, wording]


def tokens_of(texts: Sequence[str]) -> Tensor:
    """Padded ids [B, 77]."""
    return torch.tensor([clip_tokenizer().padded(text) for text in texts], dtype=torch.int32)


def prepare(
    vae: AutoencoderKL,
    scenes: int,
    seed: tuple[int, int],
    shapes: Sequence[str] = BASE_SHAPES,
    name: str | None = None,
    wordings: int = 3,
) -> Lessons:
    """Draw, describe and encode scenes once, so that training need not."""
    rng = np.random.default_rng(seed)
    chosen = [random_scene(rng, shapes) for _ in range(scenes)]
    latents = encode_all(vae, as_tensor([draw(scene) for scene in chosen]))
    words = tokens_of([caption(scene, rng, name) for scene in chosen for _ in range(wordings)])
    return Lessons(latents, words.view(scenes, wordings, -1), tokens_of([nothing(rng) for _ in range(1000)]))


class Painter(nn.Module):
    """U-Net and text tower together: noisy latents, times and tokens in, the noise out."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.unet = UNet(UNET)
        self.text = ClipText(TEXT)
        for name, layer in self.unet.named_modules():
            if name.endswith(("out_layers.3", "proj_out", "out.2")):  # every branch starts silent
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
        tables = self.text.text_model.embeddings
        nn.init.normal_(tables.token_embedding.weight, std=0.1)  # fp8 resolves values of this size
        nn.init.normal_(tables.position_embedding.weight, std=0.02)

    def forward(self, x: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
        """x [B, 4, 8, 8], times [B], tokens [B, 77] -> [B, 4, 8, 8]."""
        noise: Tensor = self.unet(x, times, self.text(tokens).hidden)
        return noise


def learn_to_paint(
    painter: Painter, lessons: Lessons, recipe: Recipe, seed: int, keep: Path, watch: Callable[[int], None]
) -> dict[str, float]:
    """Learn to tell the noise from the picture, given the caption."""
    schedule = Schedule.standard()

    def loss_at(step: int) -> Tensor:
        chance = torch.Generator().manual_seed(seed * 1_000_003 + step)
        latents, tokens = lessons.batch(_BATCH, chance)
        tokens[:_NOTHING] = lessons.nothing[
            torch.randint(len(lessons.nothing), (_NOTHING,), generator=chance)
        ]
        times = schedule.times(_BATCH, chance)
        noise = torch.randn(latents.shape, generator=chance)
        return F.mse_loss(painter(schedule.noised(latents, times, noise), times, tokens), noise)

    return fit(painter, loss_at, recipe, keep, watch)


@torch.no_grad()
def held_out_loss(paint: Callable[..., Tensor], lessons: Lessons) -> list[float]:
    """The loss at nine times over the whole range, with the same noise on every call."""
    schedule, chance = Schedule.standard(), torch.Generator().manual_seed(0)
    losses = []
    for time in _QUANTILES:
        times = torch.full((len(lessons.latents),), time)
        noise = torch.randn(lessons.latents.shape, generator=chance)
        noisy = schedule.noised(lessons.latents, times, noise)
        losses.append(float(F.mse_loss(paint(noisy, times, lessons.tokens[:, 0]), noise)))
    return losses
