"""The LoRA: teach the finished model one new figure under a trigger word, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from noderack_diffusion.names import unet_modules
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from noderack_tiny.diffusion import UNET, Lessons, Painter, Schedule
from noderack_tiny.fit import Recipe, fit

RANK = 8
_CONCEPT, _ORDINARY = 24, 24  # pictures per batch
_UNET_PARTS = ("attn1", "attn2", "ff", "proj_in", "proj_out")


class Adapter(nn.Module):
    """Low-rank additions to the attentions and feed-forwards of a painter, which itself stays as it is."""

    def __init__(self, painter: Painter, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self._painter = (painter,)  # in a tuple, so that its weights are not the adapter's
        self.names = [name for name, layer in painter.named_modules() if _adapted(name, layer)]
        weights = dict(painter.named_parameters())
        shapes = [weights[f"{name}.weight"].flatten(1).shape for name in self.names]
        self.down = nn.ParameterList(torch.randn(RANK, inner) / inner**0.5 for _, inner in shapes)
        self.up = nn.ParameterList(torch.zeros(outer, RANK) for outer, _ in shapes)

    def forward(self, x: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
        """The noise that the adapted painter sees."""
        weights, changed = dict(self._painter[0].named_parameters()), {}
        for name, down, up in zip(self.names, self.down, self.up, strict=True):
            weight = weights[f"{name}.weight"]
            changed[f"{name}.weight"] = weight + (up @ down).view_as(weight)
        noise: Tensor = functional_call(self._painter[0], changed, (x, times, tokens))
        return noise

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The adapter under the key names of kohya's trainers, alpha = rank."""
        theirs = {f"unet.{ours}": f"lora_unet_{theirs}" for theirs, ours in unet_modules(UNET)}
        for name, down, up in zip(self.names, self.down, self.up, strict=True):
            stem = theirs.get(name, name.replace("text.", "lora_te_", 1)).replace(".", "_")
            kernel = (1, 1) if name.endswith(("proj_in", "proj_out")) else ()
            yield f"{stem}.lora_down.weight", down.detach().view(*down.shape, *kernel)
            yield f"{stem}.lora_up.weight", up.detach().view(*up.shape, *kernel)
            yield f"{stem}.alpha", torch.tensor(float(RANK))


def _adapted(name: str, layer: nn.Module) -> bool:
    if name.startswith("text."):
        return isinstance(layer, nn.Linear)
    return isinstance(layer, nn.Linear | nn.Conv2d) and any(part in name for part in _UNET_PARTS)


def learn_concept(
    adapter: Adapter,
    painter: Painter,
    concept: Lessons,
    ordinary: Lessons,
    recipe: Recipe,
    seed: int,
    keep: Path,
) -> dict[str, float]:
    """Learn the concept from its pictures; for ordinary captions, say what the painter itself would say."""
    schedule = Schedule.standard()
    painter.requires_grad_(False)

    def loss_at(step: int) -> Tensor:
        chance = torch.Generator().manual_seed(seed * 1_000_003 + step)
        new, old = concept.batch(_CONCEPT, chance), ordinary.batch(_ORDINARY, chance)
        latents, tokens = (torch.cat(pair) for pair in zip(new, old, strict=True))
        times = schedule.times(_CONCEPT + _ORDINARY, chance)
        noise = torch.randn(latents.shape, generator=chance)
        noisy = schedule.noised(latents, times, noise)
        with torch.no_grad():
            noise[_CONCEPT:] = painter(noisy[_CONCEPT:], times[_CONCEPT:], tokens[_CONCEPT:])
        return F.mse_loss(adapter(noisy, times, tokens), noise)

    return fit(adapter, loss_at, recipe, keep)
