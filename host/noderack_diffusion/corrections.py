"""Corrections of classifier-free guidance, as formulas over clean latents ``[B, C, h, w]``.

``yes`` is what the network makes of the prompt, ``no`` without it, ``guided`` what guidance made of both,
``x`` the noisy latent, ``scale`` that of guidance.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

PLACES = (1, 2, 3)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each row, ready to be broadcast."""
    sums: Tensor = (a * b).flatten(1).sum(dim=1).view(-1, *[1] * (a.dim() - 1))
    return sums


def _length(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The Euclidean length over ``axes``, ready to be broadcast."""
    length: Tensor = torch.linalg.vector_norm(x, dim=axes, keepdim=True)
    return length


def zero_star(guided: Tensor, yes: Tensor, no: Tensor, x: Tensor, scale: float) -> Tensor:
    """CFG-Zero*: the unprompted side scaled to fit the prompted one best (Fan et al., 2025)."""
    said, unsaid = x - yes, x - no
    fit = _dot(said, unsaid) / (_dot(unsaid, unsaid) + 1e-8)
    return guided + (fit - 1.0) * (1.0 - scale) * no


def norm_limited(guided: Tensor, yes: Tensor, strength: float) -> Tensor:
    """Guidance that nowhere makes a cell's vector longer than the prompted side's."""
    allowed = _length(yes, (1,)) / (_length(guided, (1,)) + 1e-8)
    limited: Tensor = guided * allowed.clamp(0.0, 1.0) * strength
    return limited


def leaping(guided: Tensor, yes: Tensor, no: Tensor, scale: float) -> Tensor:
    """Between guidance and a leap along the prompted side, by how alike both sides point."""
    leap = yes * scale
    alike = F.cosine_similarity(_root(no * scale), _root((leap + guided) / 2)).mean()
    share = (alike + 1) / 2
    mixed: Tensor = share * guided + (1 - share) * leap
    return mixed


def _root(x: Tensor) -> Tensor:
    """The square root that keeps signs."""
    return x.abs().sqrt() * x.sign()


def undamped(yes: Tensor, no: Tensor, x: Tensor) -> Tensor:
    """The unprompted side without what is tangential to both (Kwon et al., 2025)."""
    said, unsaid = (x - yes).flatten(1).float(), (x - no).flatten(1).float()
    _, _, main = torch.linalg.svd(torch.stack((unsaid, said), dim=1), full_matrices=False)
    along: Tensor = main[:, 0]
    kept: Tensor = (unsaid * along).sum(dim=1, keepdim=True) * along
    return x - kept.view(no.shape).to(no.dtype)


class Projected:
    """Adaptive projected guidance (Sadat et al., 2024): its length bounded, its part along ``yes`` weighed.

    ``momentum`` carries guidance from step to step; a sigma that rises begins a new run.
    """

    def __init__(self, eta: float, longest: float, momentum: float) -> None:
        self.eta, self.longest, self.momentum = eta, longest, momentum
        self._carried: Tensor | None = None
        self._sigma = 0.0

    def __call__(self, yes: Tensor, no: Tensor, sigma: float, scale: float) -> Tensor:
        """What to put in the place of ``yes``."""
        guidance = self._with_momentum(yes - no, sigma)
        if self.longest > 0:
            guidance = guidance * (self.longest / _length(guidance, PLACES)).clamp(max=1.0)
        direction = yes / _length(yes, PLACES).clamp(min=1e-12)
        along = _dot(guidance, direction) * direction
        return no + guidance + (self.eta - 1.0) * along + (yes - no) / scale

    def _with_momentum(self, guidance: Tensor, sigma: float) -> Tensor:
        if sigma > self._sigma:
            self._carried = None
        self._sigma = sigma
        if self.momentum and self._carried is not None:
            guidance = guidance + self.momentum * self._carried
        self._carried = guidance
        return guidance
