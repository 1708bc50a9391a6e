"""`comfy.model_sampling`: what a network predicts, mixed with how its noise levels are numbered."""

from __future__ import annotations

import math
from typing import Any

import torch
from noderack_compat.missing import gap
from noderack_diffusion.sigma import (
    Parametrisation,
    Times,
    continuous_edm,
    discrete,
    flow,
    flux,
    scaled_linear,
    without_signal,
)
from torch import Tensor

__getattr__ = gap(__name__)


def reshape_sigma(sigma: Tensor, noise_dim: int) -> Tensor:
    """Noise levels that can be multiplied with a latent of so many axes."""
    if sigma.numel() == 1:
        return sigma.reshape(())
    return sigma.reshape(sigma.shape[0], *[1] * (noise_dim - 1))


def rescale_zero_terminal_snr_sigmas(sigmas: Tensor) -> Tensor:
    """Noise levels whose last one is nearly pure noise."""
    kept = without_signal(1 / (sigmas * sigmas + 1))
    return ((1 - kept) / kept) ** 0.5


def flux_time_shift(mu: float, sigma: float, t: Any) -> Any:
    return math.exp(mu) / (math.exp(mu) + (1 / t - 1) ** sigma)


def time_snr_shift(alpha: float, t: Any) -> Any:
    return t if alpha == 1.0 else alpha * t / (1 + (alpha - 1) * t)


class _Predicts:
    """A kind of prediction by its formulas in the core."""

    kind = "eps"
    sigma_data = 1.0

    def _formulas(self) -> Parametrisation:
        return Parametrisation(self.kind, data=float(self.sigma_data))

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        return self._formulas().input(noise, sigma.reshape(-1))

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        return self._formulas().clean(model_input, model_output, sigma.reshape(-1))

    def noise_scaling(
        self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False
    ) -> Tensor:
        level = reshape_sigma(torch.as_tensor(sigma), noise.ndim)
        return noise * ((1.0 + level**2) ** 0.5 if max_denoise else level) + latent_image

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        return latent


class EPS(_Predicts):
    """Predicts the noise."""


class V_PREDICTION(EPS):
    """Predicts the velocity."""

    kind = "v"


class EDM(V_PREDICTION):
    """Predicts as EDM does."""

    kind = "edm"


class X0(EPS):
    """Predicts the clean latent."""

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        return model_output


class IMG_TO_IMG(X0):
    """The same from the latent as it is."""

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        return noise


class CONST(_Predicts):
    """A flow: noise is mixed in."""

    kind = "flow"

    def noise_scaling(
        self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False
    ) -> Tensor:
        level = reshape_sigma(torch.as_tensor(sigma), noise.ndim)
        return level * noise + (1.0 - level) * latent_image

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        return latent / (1.0 - reshape_sigma(torch.as_tensor(sigma), latent.ndim))


class _Numbered(torch.nn.Module):
    """Noise levels and the times that the network knows them by."""

    sigmas: Tensor
    log_sigmas: Tensor

    def _take(self, times: Times, data: float = 1.0) -> None:
        self.times, self.sigma_data = times, data
        self.register_buffer("sigmas", times.table.float())
        self.register_buffer("log_sigmas", times.table.float().log())

    @property
    def sigma_min(self) -> Tensor:
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        return self.sigmas[-1]

    def timestep(self, sigma: Tensor) -> Tensor:
        return self.times.time(torch.as_tensor(sigma))

    def sigma(self, timestep: Any) -> Tensor:
        return self.times.sigma(torch.as_tensor(timestep))

    def percent_to_sigma(self, percent: float) -> float:
        return self.times.percent(percent)


def _settings(config: Any) -> dict[str, Any]:
    return getattr(config, "sampling_settings", None) or {}


class ModelSamplingDiscrete(_Numbered):
    """Rows of a table."""

    def __init__(self, model_config: Any = None, zsnr: bool | None = None) -> None:
        super().__init__()
        told = _settings(model_config)
        start, end = told.get("linear_start", 0.00085), told.get("linear_end", 0.012)
        zero = told.get("zsnr", False) if zsnr is None else zsnr
        self.zsnr = bool(zero)
        self._take(scaled_linear(start, end, told.get("timesteps", 1000), zero_snr=self.zsnr))
        self.num_timesteps = len(self.sigmas)

    def set_sigmas(self, sigmas: Tensor) -> None:
        """Another table."""
        self._take(discrete(sigmas.float()))


class ModelSamplingDiscreteEDM(ModelSamplingDiscrete):
    """The same, the network being told as EDM's is."""

    def timestep(self, sigma: Tensor) -> Tensor:
        return 0.25 * sigma.log()

    def sigma(self, timestep: Tensor) -> Tensor:
        return (timestep / 0.25).exp()


class ModelSamplingContinuousEDM(_Numbered):
    """Every level between two."""

    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        told = _settings(model_config)
        self.set_parameters(
            told.get("sigma_min", 0.002), told.get("sigma_max", 120.0), told.get("sigma_data", 1.0)
        )

    def set_parameters(self, sigma_min: float, sigma_max: float, sigma_data: float) -> None:
        self._take(continuous_edm(sigma_min, sigma_max), sigma_data)


class ModelSamplingContinuousV(ModelSamplingContinuousEDM):
    """The same, by angles."""

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma.atan() / math.pi * 2

    def sigma(self, timestep: Tensor) -> Tensor:
        return (timestep * math.pi / 2).tan()


class ModelSamplingDiscreteFlow(_Numbered):
    """A flow's levels, shifted."""

    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        told = _settings(model_config)
        self.set_parameters(shift=told.get("shift", 1.0), multiplier=told.get("multiplier", 1000))

    def set_parameters(self, shift: float = 1.0, timesteps: int = 1000, multiplier: float = 1000) -> None:
        self.shift, self.multiplier = shift, multiplier
        self._take(flow(shift, multiplier, timesteps))


class ModelSamplingFlux(_Numbered):
    """Flux's levels."""

    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        self.set_parameters(shift=_settings(model_config).get("shift", 1.15))

    def set_parameters(self, shift: float = 1.15, timesteps: int = 10000) -> None:
        self.shift = shift
        self._take(flux(shift, timesteps))
