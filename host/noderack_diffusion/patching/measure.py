"""Parametrisations as packs see them (``model_sampling``), and what packs put in their place."""

from typing import Any

import torch
from torch import Tensor

from noderack_diffusion.sigma import Parametrisation, Times


class Foreign(Parametrisation):
    """A parametrisation that a pack's ``model_sampling`` object answers for."""

    def __init__(self, given: Any) -> None:
        times = Times(
            given.sigmas.detach().float().cpu(),
            given.timestep,
            given.sigma,
            lambda part: float(given.percent_to_sigma(part)),
        )
        mixes = any(cls.__name__ == "CONST" for cls in type(given).__mro__)
        super().__init__("flow" if mixes else "eps", times, float(getattr(given, "sigma_data", 1.0)))
        object.__setattr__(self, "given", given)

    given: Any

    def input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return _tensor(self.given.calculate_input(sigma, x))

    def clean(self, x: Tensor, out: Tensor, sigma: Tensor) -> Tensor:
        return _tensor(self.given.calculate_denoised(sigma, out, x))

    def noised(self, sigma: float, noise: Tensor, latent: Tensor, *, full: bool = False) -> Tensor:
        level = torch.tensor(sigma, device=noise.device)
        return _tensor(self.given.noise_scaling(level, noise.clone(), latent, full))

    def finished(self, sigma: float, x: Tensor) -> Tensor:
        return _tensor(self.given.inverse_noise_scaling(torch.tensor(sigma, device=x.device), x))


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value


class Seen:
    """A parametrisation with the names by which packs ask it."""

    def __init__(self, param: Parametrisation) -> None:
        self.param = param
        self.sigma_data = param.data

    @property
    def sigmas(self) -> Tensor:
        return self.param.times.table

    @property
    def log_sigmas(self) -> Tensor:
        return self.param.times.table.log()

    @property
    def sigma_min(self) -> Tensor:
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        return self.sigmas[-1]

    @property
    def num_timesteps(self) -> int:
        return len(self.sigmas)

    def timestep(self, sigma: Any) -> Tensor:
        return self.param.times.time(torch.as_tensor(sigma))

    def sigma(self, timestep: Any) -> Tensor:
        return self.param.times.sigma(torch.as_tensor(timestep))

    def percent_to_sigma(self, percent: float) -> float:
        return self.param.times.percent(percent)

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        return self.param.input(noise, torch.as_tensor(sigma).reshape(-1))

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        return self.param.clean(model_input, model_output, torch.as_tensor(sigma).reshape(-1))

    def noise_scaling(
        self, sigma: Any, noise: Tensor, latent_image: Tensor, max_denoise: bool = False
    ) -> Tensor:
        return self.param.noised(float(torch.as_tensor(sigma).max()), noise, latent_image, full=max_denoise)

    def inverse_noise_scaling(self, sigma: Any, latent: Tensor) -> Tensor:
        return self.param.finished(float(torch.as_tensor(sigma).max()), latent)


def seen(param: Parametrisation) -> Any:
    """What packs are given as ``model_sampling``."""
    return param.given if isinstance(param, Foreign) else Seen(param)


def parametrisation(given: Any) -> Parametrisation:
    """The parametrisation that a pack's object stands for."""
    return given.param if isinstance(given, Seen) else Foreign(given)
