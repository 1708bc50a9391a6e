"""Pictures in place of words: what CLIP saw, as the label vector of models that were trained on it (unCLIP).

Some noise is put on what was seen, so that the model keeps less of it, and how much is told beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noderack_diffusion.errors import MismatchError
from noderack_diffusion.ops import timestep_embedding
from noderack_diffusion.sigma import squared_cosine

LEVELS = 1000
SEED_SHIFT = -10
"""What is added to the run's seed, as the host that most workflows were made with does."""
MERGED = 0.05
"""How much noise is put on the sum of several pictures, for models made for pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """How the vectors lie that a model was trained on: their mean and their spread, by number."""

    mean: Tensor
    spread: Tensor

    def noised(self, vector: Tensor, level: int, generator: torch.Generator) -> Tensor:
        """``vector [1, n]`` and the level's own embedding, ``[1, 2 n]``."""
        kept = float(squared_cosine(LEVELS)[level])
        noise = torch.randn(vector.shape, dtype=vector.dtype, generator=generator)
        mixed = kept**0.5 * (vector - self.mean) / self.spread + (1 - kept) ** 0.5 * noise
        told = timestep_embedding(torch.tensor([level]), vector.shape[1])
        return torch.cat([mixed * self.spread + self.mean, told], dim=1)


def usual(width: int) -> Seen:
    """Vectors taken as they are."""
    return Seen(torch.zeros(1, width), torch.ones(1, width))


def label(given: Sequence[Mapping[str, Any]], seen: Seen, seed: int, merged: float = MERGED) -> Tensor:
    """The label vector ``[1, 2 n]`` of one or more pictures, each with its strength and noise (0..1).

    ``given`` is what conditioning entries carry under "unclip_conditioning".
    """
    found: list[Tensor] = []
    for one in given:
        for vector in one["clip_vision_output"].image_embeds:
            _fits(vector, seen)
            generator = torch.Generator().manual_seed(seed + SEED_SHIFT)
            level = round((LEVELS - 1) * one["noise_augmentation"])
            told = seen.noised(vector.detach().cpu().float()[None], level, generator)
            found.append(told * one["strength"])
    if len(found) == 1:
        return found[0]
    total, level = torch.stack(found).sum(0), round((LEVELS - 1) * merged)
    return seen.noised(total[:, : seen.mean.shape[1]], level, generator)


def _fits(vector: Tensor, seen: Seen) -> None:
    if vector.shape[-1] != seen.mean.shape[-1]:
        raise MismatchError(
            f"the picture was seen by another CLIP: its vector has {vector.shape[-1]} numbers, "
            f"this model wants {seen.mean.shape[-1]}; use the image tower that belongs to the checkpoint"
        )
