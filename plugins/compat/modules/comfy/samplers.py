"""`comfy.samplers`: the tables of samplers and schedulers, schedules, sampling."""

from __future__ import annotations

from typing import Any

import torch
from noderack_compat.missing import gap, refuse
from noderack_diffusion.sampling import SAMPLERS as _SAMPLERS
from noderack_diffusion.sigma import SCHEDULERS as _SCHEDULERS
from noderack_diffusion.sigma import schedule

__getattr__ = gap(__name__)

SAMPLER_NAMES: list[str] = list(_SAMPLERS)
SCHEDULER_NAMES: list[str] = list(_SCHEDULERS)
KSAMPLER_NAMES: list[str] = [name for name in SAMPLER_NAMES if name not in ("ddim", "uni_pc", "uni_pc_bh2")]


class Sampler:
    """What a SAMPLER socket carries."""

    def max_denoise(self, model_wrap: Any, sigmas: Any) -> bool:
        return bool(sigmas[0] > model_wrap.param.sigma_max * 0.9999)


class KSAMPLER(Sampler):
    """A sampler of the core by its name, or a function of a pack."""

    def __init__(
        self, sampler_function: Any, extra_options: dict[str, Any] | None = None, inpaint_options: Any = None
    ) -> None:
        self.sampler_function = sampler_function
        self.extra_options = extra_options or {}
        self.inpaint_options = inpaint_options or {}

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        refuse("comfy.samplers.KSAMPLER.sample")


def sampler_object(name: str) -> KSAMPLER:
    """The sampler of that name; raises for one that is not in the table."""
    if name not in SAMPLER_NAMES:
        raise ValueError(f"no sampler is called {name!r}; there are {', '.join(SAMPLER_NAMES)}")
    return KSAMPLER(name)


def ksampler(
    sampler_name: str, extra_options: dict[str, Any] | None = None, inpaint_options: Any = None
) -> KSAMPLER:
    return KSAMPLER(sampler_name, extra_options, inpaint_options)


def calculate_sigmas(model_sampling: Any, scheduler_name: str, steps: int) -> torch.Tensor:
    """The sigmas of a schedule; `model_sampling` is a MODEL, or the parametrisation of one."""
    return torch.tensor(schedule(getattr(model_sampling, "param", model_sampling), scheduler_name, steps))


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
        self.steps, self.denoise = steps, 1.0 if denoise is None else denoise
        self.sampler = sampler or self.SAMPLERS[0]
        self.scheduler = scheduler or self.SCHEDULERS[0]
        self.sigmas = torch.tensor(schedule(model.param, self.scheduler, steps, self.denoise, self.sampler))
