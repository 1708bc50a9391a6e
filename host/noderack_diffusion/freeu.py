"""FreeU: strengthens what the U-Net's second half computes and damps the low frequencies of its skips."""

from collections.abc import Callable

import torch
from torch import Tensor

from noderack_diffusion.unet import SkipHook


def _damped(x: Tensor, threshold: int, scale: float) -> Tensor:
    """``x`` with its lowest frequencies (a square of ``threshold`` around zero) scaled."""
    spectrum = torch.fft.fftshift(torch.fft.fftn(x.float(), dim=(-2, -1)), dim=(-2, -1))
    height, width = x.shape[-2] // 2, x.shape[-1] // 2
    spectrum[..., height - threshold : height + threshold, width - threshold : width + threshold] *= scale
    back = torch.fft.ifftn(torch.fft.ifftshift(spectrum, dim=(-2, -1)), dim=(-2, -1))
    damped: Tensor = back.real.to(x.dtype)
    return damped


def _even(h: Tensor, strength: float) -> Tensor | float:
    return strength


def _by_mean(h: Tensor, strength: float) -> Tensor:
    """Stronger where the mean over channels is large, as the second version has it."""
    mean = h.mean(1, keepdim=True)
    low = mean.flatten(1).amin(dim=1).view(-1, 1, 1, 1)
    high = mean.flatten(1).amax(dim=1).view(-1, 1, 1, 1)
    return (strength - 1) * ((mean - low) / (high - low)) + 1


def freeu(
    width: int, backbone: tuple[float, float], skips: tuple[float, float], *, second: bool = True
) -> SkipHook:
    """A hook for ``Hooks.skip``. ``width`` is the model's; the pairs are for 4 and 2 times that width."""
    strengths: Callable[[Tensor, float], Tensor | float] = _by_mean if second else _even
    table = {width * 4: (backbone[0], skips[0]), width * 2: (backbone[1], skips[1])}

    def hook(h: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        found = table.get(h.shape[1])
        if found is None:
            return h, skip
        half = h.shape[1] // 2
        strong = h[:, :half] * strengths(h, found[0])
        return torch.cat([strong, h[:, half:]], dim=1), _damped(skip, 1, found[1])

    return hook
