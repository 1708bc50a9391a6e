"""Ways to make one clean latent out of several conditionings. Each answers ``(x, sigma)``, as samplers ask.

``both`` also gives the clean latent without the prompt, which the cfg++ samplers want.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from noderack_diffusion.guide import Condition, Guide
from noderack_diffusion.unet import SkipHook


class Guider(Protocol):
    """What samplers are driven by."""

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """The clean latent."""

    def both(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """The clean latent, and the one without the prompt."""


Combine = Callable[[Tensor, Tensor, float, Tensor, float], Tensor]
"""(with prompt, without, scale, x, sigma) -> clean latent."""
After = Callable[[Tensor, Tensor, float], Tensor]
"""(clean latent, x, sigma) -> clean latent."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a model's user put between the network's answers and the sampler."""

    combine: Combine | None = None
    after: tuple[After, ...] = ()
    skip: SkipHook | None = None
    """Changes what the U-Net joins (FreeU)."""
    always_both: bool = False
    """Evaluate the side without the prompt even at scale 1."""


def plain(wanted: Tensor, unwanted: Tensor, scale: float, x: Tensor, sigma: float) -> Tensor:
    """Classifier-free guidance."""
    return unwanted + (wanted - unwanted) * scale


@dataclass(frozen=True, slots=True, eq=False)
class Cfg:
    """Classifier-free guidance. At scale 1 the side without the prompt is not evaluated."""

    guide: Guide
    positive: tuple[Condition, ...]
    negative: tuple[Condition, ...]
    scale: float
    hooks: Hooks = field(default_factory=Hooks)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """The clean latent."""
        if math.isclose(self.scale, 1.0) and not self.hooks.always_both and self.hooks.combine is None:
            return self._finished(self.guide.predict([self.positive], x, sigma)[0], x, sigma)
        return self.both(x, sigma)[0]

    def both(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """The clean latent, and the one of the negative side alone."""
        wanted, unwanted = self.guide.predict([self.positive, self.negative], x, sigma)
        clean = (self.hooks.combine or plain)(wanted, unwanted, self.scale, x, sigma)
        return self._finished(clean, x, sigma), unwanted

    def _finished(self, clean: Tensor, x: Tensor, sigma: float) -> Tensor:
        for hook in self.hooks.after:
            clean = hook(clean, x, sigma)
        return clean


@dataclass(frozen=True, slots=True, eq=False)
class DualCfg:
    """Two prompts, each with its scale: the second guided away from the negative, the first from the second.

    ``nested`` guides the result of both away from the negative instead of adding the two.
    """

    guide: Guide
    first: tuple[Condition, ...]
    second: tuple[Condition, ...]
    negative: tuple[Condition, ...]
    scale_first: float
    scale_second: float
    nested: bool = False

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """The clean latent."""
        return self.both(x, sigma)[0]

    def both(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """The clean latent, and the one of the negative alone."""
        no, middle, yes = self.guide.predict([self.negative, self.second, self.first], x, sigma)
        if self.nested:
            inner = plain(yes, middle, self.scale_first, x, sigma)
            return plain(inner, no, self.scale_second, x, sigma), no
        return plain(middle, no, self.scale_second, x, sigma) + (yes - middle) * self.scale_first, no


@dataclass(frozen=True, slots=True, eq=False)
class PerpNeg:
    """Guided away only from the part of the negative that does not point along the positive."""

    guide: Guide
    positive: tuple[Condition, ...]
    negative: tuple[Condition, ...]
    empty: tuple[Condition, ...]
    scale: float
    negative_scale: float = 1.0

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """The clean latent."""
        return self.both(x, sigma)[0]

    def both(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """The clean latent, and the one of the empty prompt."""
        wanted, unwanted, nothing = self.guide.predict([self.positive, self.negative, self.empty], x, sigma)
        return without_parallel(wanted, unwanted, nothing, self.scale, self.negative_scale), nothing


def without_parallel(
    wanted: Tensor, unwanted: Tensor, nothing: Tensor, scale: float, negative_scale: float
) -> Tensor:
    """Perp-Neg (Armandpour et al., 2023) over three clean latents."""
    along, against = wanted - nothing, unwanted - nothing
    across = against - ((against * along).sum() / (along * along).sum()) * along
    return nothing + scale * (along - negative_scale * across)


def rescaled(multiplier: float) -> Combine:
    """Guidance whose result has, in part, the spread of the prompted prediction (in v's terms)."""

    def combine(wanted: Tensor, unwanted: Tensor, scale: float, x: Tensor, sigma: float) -> Tensor:
        total = sigma**2 + 1
        base, unit = x / total, float(total**0.5 / sigma)
        yes, no = (base - wanted) * unit, (base - unwanted) * unit
        guided = no + scale * (yes - no)
        axes = tuple(range(1, x.dim()))
        ratio = torch.std(yes, dim=axes, keepdim=True) / torch.std(guided, dim=axes, keepdim=True)
        return base - (multiplier * guided * ratio + (1 - multiplier) * guided) / unit

    return combine
