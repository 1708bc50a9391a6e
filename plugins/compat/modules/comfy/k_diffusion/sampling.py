"""`comfy.k_diffusion.sampling`: `sample_<name>(model, x, sigmas, extra_args, callback, disable, ...)`."""

from __future__ import annotations

import math
from typing import Any

import torch
from noderack_compat.missing import gap
from noderack_diffusion.brownian import BrownianNoise
from noderack_diffusion.patching.calls import k_sampler
from noderack_diffusion.sampling import SAMPLERS
from noderack_diffusion.task import ancestral
from torch import Tensor, nn
from tqdm.auto import tqdm, trange

_missing = gap(__name__)
__all__ = ["math", "nn", "torch", "tqdm", "trange"]


def __getattr__(name: str) -> Any:
    """A sampler of the core, called as packs call it."""
    if name.startswith("sample_") and name.removeprefix("sample_") in SAMPLERS:
        return k_sampler(name.removeprefix("sample_"))
    return _missing(name)


def append_zero(x: Tensor) -> Tensor:
    return torch.cat([x, x.new_zeros(1)])


def append_dims(x: Tensor, target_dims: int) -> Tensor:
    """`x` with axes of one added at its end."""
    if target_dims < x.ndim:
        raise ValueError(f"the tensor has {x.ndim} axes already, more than {target_dims}")
    return x.reshape(*x.shape, *[1] * (target_dims - x.ndim))


def to_d(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    """The slope of x by sigma."""
    return (x - denoised) / append_dims(sigma, x.ndim)


def get_ancestral_step(sigma_from: Any, sigma_to: Any, eta: float = 1.0) -> tuple[Any, Any]:
    """How far down to go, and how much noise to add."""
    down, up = ancestral(float(sigma_from), float(sigma_to), eta)
    like = torch.as_tensor(sigma_to)
    return like.new_tensor(down), like.new_tensor(up)


def default_noise_sampler(x: Tensor, seed: int | None = None) -> Any:
    """Draws noise like `x`, again and again."""
    generator = None
    if seed is not None:
        shift = 1 if x.device.type == "cpu" else 0
        generator = torch.Generator(x.device).manual_seed(seed + shift)
    return lambda sigma, sigma_next: torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)


class BrownianTreeNoiseSampler:
    """Noise of a random walk over noise levels: the same between two levels however often it is asked."""

    def __init__(
        self,
        x: Tensor,
        sigma_min: Any,
        sigma_max: Any,
        seed: Any = None,
        transform: Any = None,
        cpu: bool = False,
    ) -> None:
        self.transform = transform or (lambda sigma: sigma)
        low, high = (float(self.transform(torch.as_tensor(s))) for s in (sigma_min, sigma_max))
        chosen = int(torch.randint(0, 2**63 - 1, [])) if seed is None else int(seed)
        self.tree = BrownianNoise(x, min(low, high), max(low, high), chosen, on_cpu=cpu)

    def __call__(self, sigma: Any, sigma_next: Any) -> Tensor:
        one, two = (float(self.transform(torch.as_tensor(s))) for s in (sigma, sigma_next))
        return self.tree(one, two)


def get_sigmas_karras(
    n: int, sigma_min: float, sigma_max: float, rho: float = 7.0, device: Any = "cpu"
) -> Tensor:
    """Evenly spaced in the rho-th root, 0 at the end."""
    ramp = torch.linspace(0, 1, n, device=device)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return append_zero((high + ramp * (low - high)) ** rho).to(device)


def get_sigmas_exponential(n: int, sigma_min: float, sigma_max: float, device: Any = "cpu") -> Tensor:
    """Evenly spaced in the logarithm, 0 at the end."""
    return append_zero(torch.linspace(math.log(sigma_max), math.log(sigma_min), n, device=device).exp())


def get_sigmas_polyexponential(
    n: int, sigma_min: float, sigma_max: float, rho: float = 1.0, device: Any = "cpu"
) -> Tensor:
    """The same, bent by a power."""
    ramp = torch.linspace(1, 0, n, device=device) ** rho
    return append_zero(torch.exp(ramp * (math.log(sigma_max) - math.log(sigma_min)) + math.log(sigma_min)))


def get_sigmas_vp(
    n: int, beta_d: float = 19.9, beta_min: float = 0.1, eps_s: float = 1e-3, device: Any = "cpu"
) -> Tensor:
    """Of a process that keeps the variance, 0 at the end."""
    t = torch.linspace(1, eps_s, n, device=device)
    return append_zero(torch.sqrt(torch.special.expm1(beta_d * t**2 / 2 + beta_min * t)))
