"""`comfy.samplers`: the tables of samplers and schedulers, guidance, and whole runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from noderack_compat.missing import gap
from noderack_diffusion.patching import sampler as _core
from noderack_diffusion.patching.conds import calc_cond_batch, cfg_function, sampling_function
from noderack_diffusion.patching.guiding import CFGGuider
from noderack_diffusion.patching.measure import parametrisation
from noderack_diffusion.patching.sampler import KSAMPLER, KSamplerX0Inpaint, Sampler, ksampler
from noderack_diffusion.sampling import SAMPLERS as _SAMPLERS
from noderack_diffusion.sigma import SCHEDULERS as _SCHEDULERS
from noderack_diffusion.sigma import schedule

from comfy.k_diffusion import sampling as k_diffusion_sampling

__getattr__ = gap(__name__)
__all__ = [
    "KSAMPLER",
    "CFGGuider",
    "KSampler",
    "KSamplerX0Inpaint",
    "Sampler",
    "calc_cond_batch",
    "cfg_function",
    "k_diffusion_sampling",
    "ksampler",
    "sampler_object",
    "sampling_function",
]

SAMPLER_NAMES: list[str] = list(_SAMPLERS)
KSAMPLER_NAMES: list[str] = [name for name in SAMPLER_NAMES if name not in ("ddim", "uni_pc", "uni_pc_bh2")]


def sampler_object(name: str) -> KSAMPLER:
    """The sampler of that name, one that a pack has added too; raises UnknownNameError."""
    added = vars(k_diffusion_sampling).get(f"sample_{name}")
    return KSAMPLER(added) if name not in _SAMPLERS and added else _core.sampler_object(name)


class SchedulerHandler(NamedTuple):
    """A schedule; `use_ms`: it is given `model_sampling` and steps, else n, sigma_min and sigma_max."""

    handler: Callable[..., torch.Tensor]
    use_ms: bool = True


def _handler(name: str) -> SchedulerHandler:
    return SchedulerHandler(lambda model_sampling, steps: _scheduled(model_sampling, name, steps))


def _scheduled(model_sampling: Any, name: str, steps: int) -> torch.Tensor:
    param = getattr(model_sampling, "param", None)
    return torch.tensor(schedule(param or parametrisation(model_sampling), name, steps))


SCHEDULER_HANDLERS: dict[str, SchedulerHandler] = {name: _handler(name) for name in _SCHEDULERS}
SCHEDULER_NAMES: list[str] = list(SCHEDULER_HANDLERS)


def calculate_sigmas(model_sampling: Any, scheduler_name: str, steps: int) -> torch.Tensor:
    """The sigmas of a schedule, one that a pack has added too; raises ValueError for an unknown name."""
    found = SCHEDULER_HANDLERS.get(scheduler_name)
    if found is None:
        raise ValueError(f"no scheduler is called {scheduler_name!r}; there are {', '.join(SCHEDULER_NAMES)}")
    if found.use_ms:
        return found.handler(model_sampling, steps)
    low, high = float(model_sampling.sigma_min), float(model_sampling.sigma_max)
    return found.handler(n=steps, sigma_min=low, sigma_max=high)


def cast_to_load_options(model_options: Any, device: Any = None, dtype: Any = None) -> None:
    """Puts what packs have in the options on the model's device: here it is put there when it is used."""


def simple_scheduler(model_sampling: Any, steps: int) -> torch.Tensor:
    return _scheduled(model_sampling, "simple", steps)


def normal_scheduler(model_sampling: Any, steps: int, sgm: bool = False, floor: bool = False) -> torch.Tensor:
    return _scheduled(model_sampling, "sgm_uniform" if sgm else "normal", steps)


def ddim_scheduler(model_sampling: Any, steps: int) -> torch.Tensor:
    return _scheduled(model_sampling, "ddim_uniform", steps)


def beta_scheduler(model_sampling: Any, steps: int, alpha: float = 0.6, beta: float = 0.6) -> torch.Tensor:
    if (alpha, beta) != (0.6, 0.6):
        from noderack_diffusion.betaquantile import quantile

        table = model_sampling.sigmas
        parts = [1 - step / steps for step in range(steps)]
        places = dict.fromkeys(round(quantile(p, alpha, beta) * (len(table) - 1)) for p in parts)
        return torch.tensor([*(float(table[place]) for place in places), 0.0])
    return _scheduled(model_sampling, "beta", steps)


def linear_quadratic_schedule(
    model_sampling: Any, steps: int, threshold_noise: float = 0.025, linear_steps: int | None = None
) -> torch.Tensor:
    return _scheduled(model_sampling, "linear_quadratic", steps)


def sample(
    model: Any,
    noise: Any,
    positive: Any,
    negative: Any,
    cfg: float,
    device: Any,
    sampler: Any,
    sigmas: torch.Tensor,
    model_options: Any = None,
    latent_image: Any = None,
    denoise_mask: Any = None,
    callback: Any = None,
    disable_pbar: bool = False,
    seed: int | None = None,
) -> torch.Tensor:
    """A whole run with classifier-free guidance."""
    guider = CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    return guider.sample(noise, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed)


class KSampler:
    """One sampling run with everything given; its two tables fill the choices of sampler nodes."""

    SAMPLERS = SAMPLER_NAMES
    SCHEDULERS = SCHEDULER_NAMES
    DISCARD_PENULTIMATE_SIGMA_SAMPLERS = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})

    def __init__(
        self,
        model: Any,
        steps: int,
        device: Any,
        sampler: str | None = None,
        scheduler: str | None = None,
        denoise: float | None = None,
        model_options: Any = None,
    ) -> None:
        self.model, self.device, self.model_options = model, device, model_options or {}
        self.sampler, self.scheduler = sampler or self.SAMPLERS[0], scheduler or self.SCHEDULERS[0]
        self.set_steps(steps, denoise)

    def calculate_sigmas(self, steps: int) -> torch.Tensor:
        """All levels of so many steps."""
        shorter = self.sampler in self.DISCARD_PENULTIMATE_SIGMA_SAMPLERS
        measured = self.model.get_model_object("model_sampling")
        sigmas = calculate_sigmas(measured, self.scheduler, steps + shorter)
        return torch.cat([sigmas[:-2], sigmas[-1:]]) if shorter else sigmas

    def set_steps(self, steps: int, denoise: float | None = None) -> None:
        """The levels of `steps` steps; of the last part of a longer way for `denoise` below 1."""
        self.steps, self.denoise = steps, denoise
        if denoise is None or denoise > 0.9999:
            self.sigmas = self.calculate_sigmas(steps)
        elif denoise <= 0.0:
            self.sigmas = torch.FloatTensor([])
        else:
            self.sigmas = self.calculate_sigmas(int(steps / denoise))[-(steps + 1) :]

    def sample(
        self,
        noise: Any,
        positive: Any,
        negative: Any,
        cfg: float,
        latent_image: Any = None,
        start_step: int | None = None,
        last_step: int | None = None,
        force_full_denoise: bool = False,
        denoise_mask: Any = None,
        sigmas: Any = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
    ) -> torch.Tensor:
        """Runs a part of the steps."""
        levels = (self.sigmas if sigmas is None else sigmas).clone()
        if last_step is not None and last_step < len(levels) - 1:
            levels = levels[: last_step + 1]
            if force_full_denoise:
                levels[-1] = 0
        if start_step is not None:
            if start_step >= len(levels) - 1:
                return torch.zeros_like(noise) if latent_image is None else latent_image
            levels = levels[start_step:]
        return sample(
            self.model,
            noise,
            positive,
            negative,
            cfg,
            self.device,
            sampler_object(self.sampler),
            levels,
            self.model_options,
            latent_image,
            denoise_mask,
            callback,
            disable_pbar,
            seed,
        )


def max_denoise(sigma: float, most: float) -> bool:
    """Whether a run that starts at `sigma` starts from pure noise."""
    return sigma > most or math.isclose(sigma, most, rel_tol=1e-5)
