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


def norm_kept(yes: Tensor, no: Tensor, scale: float, strength: float) -> Tensor:
    """Guided noise, each cell's vector as long as the prompted side's; ``strength`` 0 is plain guidance."""
    guided = no + scale * (yes - no)
    length = _length(guided, (1,))
    kept = torch.where(length > 0, _length(yes, (1,)) / length.clamp_min(1e-12), torch.ones_like(length))
    return guided * (strength * kept + (1.0 - strength))


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


def rescored(clean: Tensor, x: Tensor, sigma: float, alpha: float, k: float, variance: float) -> Tensor:
    """Temporal score rescaling (Xu et al., 2025): the predicted noise times a factor that goes from 1 early
    in a run to ``k`` late in it; ``variance`` says how early. ``alpha`` is how much of the signal ``x`` has.
    """
    snr = (alpha / sigma) ** 2
    factor = (snr * variance + 1.0) / (snr * variance / k + 1.0)
    return torch.lerp(x / alpha, clean, factor)


def by_frequency(guidance: Tensor, low: float, high: float, cutoff: int) -> Tensor:
    """FreSca (Huang et al., 2025): ``guidance [..., h, w]`` with its low and high frequencies weighed apart.

    Low are the ``cutoff`` frequencies each way from the middle of the spectrum.
    """
    spectrum = torch.fft.fftshift(torch.fft.fftn(guidance.float(), dim=(-2, -1)), dim=(-2, -1))
    weights = torch.full(guidance.shape[-2:], high, device=guidance.device)
    rows, columns = (_about(side, cutoff) for side in guidance.shape[-2:])
    weights[rows, columns] = low
    spectrum = torch.fft.ifftshift(spectrum * weights, dim=(-2, -1))
    weighed: Tensor = torch.fft.ifftn(spectrum, dim=(-2, -1)).real
    return weighed.to(guidance.dtype)


def _about(side: int, reach: int) -> slice:
    middle = side // 2
    return slice(middle - min(reach, middle), middle + min(reach, middle))


def normalized(yes: Tensor, no: Tensor, scale: float, alpha: float, tau: float) -> Tensor:
    """Normalized attention guidance (Chen et al., 2025): attention ``yes [b, n, c]`` led away from ``no``, at
    most ``tau`` times as long (by its 1-norm), mixed in by ``alpha``.
    """
    led = no + scale * (yes - no)
    lengths = (torch.linalg.vector_norm(t, ord=1, dim=-1, keepdim=True).clamp(min=1e-6) for t in (led, yes))
    ratio = torch.div(*lengths)
    return torch.lerp(yes, led * (tau / ratio).clamp(max=1.0), alpha)


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
