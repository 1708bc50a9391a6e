"""`comfy_extras.nodes_model_advanced`: other ways to measure noise, as packs mix them into models."""

from __future__ import annotations

from typing import Any

from comfy.model_sampling import EPS, rescale_zero_terminal_snr_sigmas
from comfy.model_sampling import ModelSamplingDiscrete as _Discrete
from noderack_compat.missing import gap
from noderack_diffusion.distilled import STEPS, Distilled, thinned
from noderack_diffusion.sigma import Times, discrete
from torch import Tensor

__getattr__ = gap(__name__)
__all__ = ["LCM", "ModelSamplingDiscreteDistilled", "rescale_zero_terminal_snr_sigmas"]


class LCM(EPS):
    """Predicts as latent consistency models do; mixed with a table of noise levels."""

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        times: Any = _Of(self)
        return Distilled("eps", times).clean(model_input, model_output, sigma)


class _Of:
    """The times of a pack's own table."""

    def __init__(self, sampling: Any) -> None:
        self.time = sampling.timestep


class ModelSamplingDiscreteDistilled(_Discrete):
    """Fifty rows of a table of a thousand, known to the network by their numbers there."""

    original_timesteps = STEPS

    def __init__(self, model_config: Any = None, zsnr: bool | None = None) -> None:
        super().__init__(model_config, zsnr)
        self.skip_steps = self.num_timesteps // self.original_timesteps
        self._take(thinned(self.times, self.original_timesteps))

    def set_sigmas(self, sigmas: Tensor) -> None:
        """Another table, of as many rows."""
        few, every = discrete(sigmas.float()), self.skip_steps
        last = every - 1
        own = Times(
            few.table,
            lambda sigma: few.time(sigma) * every + last,
            lambda time: few.sigma((time.float() - last) / every),
            few.percent,
        )
        self._take(own)
