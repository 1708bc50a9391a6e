"""SIGMAS: which noise levels a sampler visits. Schedules by name, by numbers, by table, and tools for them.

A SIGMAS is a falling tensor [steps + 1], which packs index and slice.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.sockets import (
    MODEL,
    SIGMAS,
    Inputs,
    Mappings,
    Node,
    choice,
    combo,
    flag,
    integer,
    number,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noderack_nodes.sockets import Tensor

_STEPS = integer(20, 1, 10000)
_DENOISE = number(1.0, 0.0, 1.0)
_EXACT = {"round": False}
_HIGH = number(14.614642, 0.0, 5000.0, **_EXACT)
_LOW = number(0.0291675, 0.0, 5000.0, **_EXACT)


def _sigmas(values: Sequence[float]) -> tuple[Tensor]:
    import torch

    return (torch.tensor(list(values), dtype=torch.float32),)


class Schedule(Node):
    """Gives SIGMAS."""

    RETURN_TYPES = ("SIGMAS",)
    CATEGORY = "sampling/custom_sampling/schedulers"
    FUNCTION = "get_sigmas"


class BasicScheduler(Schedule):
    """A schedule by name, over the noise levels that a model was trained on."""

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The schedules that the core has."""
        from noderack_diffusion.sigma import SCHEDULERS

        return {
            "required": {
                "model": MODEL,
                "scheduler": (list(SCHEDULERS),),
                "steps": _STEPS,
                "denoise": _DENOISE,
            }
        }

    def get_sigmas(self, model: Any, scheduler: str, steps: int, denoise: float) -> tuple[Tensor]:
        """With `denoise` below 1, the last `steps` of a longer schedule."""
        from noderack_diffusion.sigma import schedule

        return _sigmas(schedule(model.param, scheduler, steps, denoise))


class KarrasScheduler(Schedule):
    """Evenly spaced in a root of sigma (Karras et al., 2022)."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "steps": _STEPS,
            "sigma_max": _HIGH,
            "sigma_min": _LOW,
            "rho": number(7.0, 0.0, 100.0, **_EXACT),
        }
    }

    def get_sigmas(self, steps: int, sigma_max: float, sigma_min: float, rho: float) -> tuple[Tensor]:
        """`rho` says which root."""
        from noderack_diffusion.sigma import karras

        return _sigmas(karras(sigma_min, sigma_max, steps, rho))


class ExponentialScheduler(Schedule):
    """Evenly spaced in the logarithm."""

    INPUTS: ClassVar[Inputs] = {"required": {"steps": _STEPS, "sigma_max": _HIGH, "sigma_min": _LOW}}

    def get_sigmas(self, steps: int, sigma_max: float, sigma_min: float) -> tuple[Tensor]:
        """From `sigma_max` to `sigma_min`, then 0."""
        from noderack_diffusion.sigma import exponential

        return _sigmas(exponential(sigma_min, sigma_max, steps))


class PolyexponentialScheduler(Schedule):
    """Spaced by a power of a line in the logarithm."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "steps": _STEPS,
            "sigma_max": _HIGH,
            "sigma_min": _LOW,
            "rho": number(1.0, 0.0, 100.0, **_EXACT),
        }
    }

    def get_sigmas(self, steps: int, sigma_max: float, sigma_min: float, rho: float) -> tuple[Tensor]:
        """`rho` 1 is the exponential schedule."""
        from noderack_diffusion.spacing import polyexponential

        return _sigmas(polyexponential(sigma_min, sigma_max, steps, rho))


class LaplaceScheduler(Schedule):
    """Most steps around the middle noise levels."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "steps": _STEPS,
            "sigma_max": _HIGH,
            "sigma_min": _LOW,
            "mu": number(0.0, -10.0, 10.0, 0.1, **_EXACT),
            "beta": number(0.5, 0.0, 10.0, 0.1, **_EXACT),
        }
    }

    def get_sigmas(
        self, steps: int, sigma_max: float, sigma_min: float, mu: float, beta: float
    ) -> tuple[Tensor]:
        """`mu` is the logarithm around which they lie, `beta` how far they spread."""
        from noderack_diffusion.spacing import laplace

        return _sigmas(laplace(sigma_min, sigma_max, steps, mu, beta))


class VPScheduler(Schedule):
    """The variance-preserving process in continuous time."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "steps": _STEPS,
            "beta_d": number(19.9, 0.0, 5000.0, **_EXACT),
            "beta_min": number(0.1, 0.0, 5000.0, **_EXACT),
            "eps_s": number(0.001, 0.0, 1.0, 0.0001, **_EXACT),
        }
    }

    def get_sigmas(self, steps: int, beta_d: float, beta_min: float, eps_s: float) -> tuple[Tensor]:
        """`eps_s` is the time at which it ends."""
        from noderack_diffusion.spacing import variance_preserving

        return _sigmas(variance_preserving(steps, beta_d, beta_min, eps_s))


class BetaSamplingScheduler(Schedule):
    """Spaced by the quantiles of a beta distribution over the model's noise levels."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "steps": _STEPS,
            "alpha": number(0.6, 0.0, 50.0, **_EXACT),
            "beta": number(0.6, 0.0, 50.0, **_EXACT),
        }
    }

    def get_sigmas(self, model: Any, steps: int, alpha: float, beta: float) -> tuple[Tensor]:
        """Below 1, `alpha` and `beta` put more steps at the ends."""
        from noderack_diffusion.sigma import beta as spaced

        return _sigmas(spaced(model.param, steps, alpha, beta))


class SDTurboScheduler(Schedule):
    """For models distilled to one up to ten steps."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"model": MODEL, "steps": integer(1, 1, 10), "denoise": number(1.0, 0, 1.0)}
    }

    def get_sigmas(self, model: Any, steps: int, denoise: float) -> tuple[Tensor]:
        """Every hundredth of the thousand noise levels."""
        from noderack_diffusion.spacing import turbo

        return _sigmas(turbo(model.param, steps, denoise))


class AlignYourStepsScheduler(Schedule):
    """Published steps that were optimised for each family."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model_type": combo("SD1", "SDXL", "SVD"),
            "steps": integer(10, 1, 10000),
            "denoise": _DENOISE,
        }
    }

    def get_sigmas(self, model_type: str, steps: int, denoise: float) -> tuple[Tensor]:
        """Made for ten steps; other numbers are interpolated."""
        from noderack_diffusion.spacing import align_your_steps

        return _sigmas(align_your_steps(model_type, steps, denoise))


class GITSScheduler(Schedule):
    """Published steps that follow the bends of a path (Chen et al., 2024)."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "coeff": number(1.2, 0.8, 1.5, 0.05),
            "steps": integer(10, 2, 1000),
            "denoise": _DENOISE,
        }
    }

    def get_sigmas(self, coeff: float, steps: int, denoise: float) -> tuple[Tensor]:
        """Made for two to twenty steps; more are interpolated. A smaller `coeff` has more of them late."""
        from noderack_diffusion.spacing import gits

        return _sigmas(gits(coeff, steps, denoise))


class SigmaTool(Node):
    """Changes SIGMAS."""

    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("SIGMAS",)
    CATEGORY = "sampling/custom_sampling/sigmas"
    FUNCTION = "get_sigmas"


class SplitSigmas(SigmaTool):
    """One run cut in two, at a step."""

    INPUTS: ClassVar[Inputs] = {"required": {"sigmas": SIGMAS, "step": integer(0, 0, 10000)}}
    RETURN_TYPES = ("SIGMAS", "SIGMAS")
    RETURN_NAMES = ("high_sigmas", "low_sigmas")

    def get_sigmas(self, sigmas: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The sigma at which it is cut ends the one and begins the other."""
        return sigmas[: step + 1], sigmas[step:]


class SplitSigmasDenoise(SigmaTool):
    """One run cut in two, by the part that the second shall have."""

    INPUTS: ClassVar[Inputs] = {"required": {"sigmas": SIGMAS, "denoise": _DENOISE}}
    RETURN_TYPES = ("SIGMAS", "SIGMAS")
    RETURN_NAMES = ("high_sigmas", "low_sigmas")

    def get_sigmas(self, sigmas: Tensor, denoise: float) -> tuple[Tensor, Tensor]:
        """`denoise` of the steps go to the second."""
        kept = round(max(len(sigmas) - 1, 0) * denoise)
        return sigmas[: len(sigmas) - kept if kept else 0], sigmas[-(kept + 1) :]


class FlipSigmas(SigmaTool):
    """From clean to noise: for "unsampling" a picture."""

    INPUTS: ClassVar[Inputs] = {"required": {"sigmas": SIGMAS}}

    def get_sigmas(self, sigmas: Tensor) -> tuple[Tensor]:
        """A first sigma of 0 becomes 0.0001, which samplers can begin at."""
        if not len(sigmas):
            return (sigmas,)
        flipped = sigmas.flip(0)
        if flipped[0] == 0:
            flipped[0] = 0.0001
        return (flipped,)


class SetFirstSigma(SigmaTool):
    """Begin at another noise level."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"sigmas": SIGMAS, "sigma": number(136.0, 0.0, 20000.0, 0.001, **_EXACT)}
    }
    FUNCTION = "set_first_sigma"

    def set_first_sigma(self, sigmas: Tensor, sigma: float) -> tuple[Tensor]:
        """The others stay."""
        changed = sigmas.clone()
        changed[0] = sigma
        return (changed,)


class ExtendIntermediateSigmas(SigmaTool):
    """More steps within a range of noise levels."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "sigmas": SIGMAS,
            "steps": integer(2, 1, 100),
            "start_at_sigma": number(-1.0, -1.0, 20000.0, **_EXACT),
            "end_at_sigma": number(12.0, 0.0, 20000.0, **_EXACT),
            "spacing": choice("linear", "cosine", "sine"),
        }
    }
    FUNCTION = "extend"

    def extend(
        self, sigmas: Tensor, steps: int, start_at_sigma: float, end_at_sigma: float, spacing: str
    ) -> tuple[Tensor]:
        """Each step there becomes `steps` steps; a start below 0 means from the beginning."""
        from noderack_diffusion.spacing import between

        first = math.inf if start_at_sigma < 0 else start_at_sigma
        return _sigmas(between(sigmas.tolist(), steps, first, end_at_sigma, spacing))


class SamplingPercentToSigma(SigmaTool):
    """The noise level at a part of the way."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "sampling_percent": number(0.0, 0.0, 1.0, 0.0001),
            "return_actual_sigma": flag(False),
        }
    }
    RETURN_TYPES = ("FLOAT",)
    RETURN_NAMES = ("sigma_value",)
    FUNCTION = "get_sigma"

    def get_sigma(self, model: Any, sampling_percent: float, return_actual_sigma: bool) -> tuple[float]:
        """At the ends a stand-in for "always" and "never", unless the actual sigma is wanted."""
        param = model.param
        if return_actual_sigma and sampling_percent in (0.0, 1.0):
            return (param.sigma_min if sampling_percent else param.sigma_max,)
        return (float(param.times.percent(sampling_percent)),)


class ManualSigmas(SigmaTool):
    """Noise levels written out."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {"required": {"sigmas": ("STRING", {"default": "1, 0.5", "multiline": False})}}
    FUNCTION = "get_sigmas"

    def get_sigmas(self, sigmas: str) -> tuple[Tensor]:
        """Every number in the text is a level; the last is 0 where the picture is to be finished."""
        return _sigmas([float(number) for number in re.findall(r"[-+]?(?:\d*\.)?\d+", sigmas)])


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(BasicScheduler, KarrasScheduler, ExponentialScheduler, PolyexponentialScheduler, LaplaceScheduler),
        *(VPScheduler, BetaSamplingScheduler, SDTurboScheduler, AlignYourStepsScheduler),
        GITSScheduler,
        *(SplitSigmas, SplitSigmasDenoise, FlipSigmas, SetFirstSigma, ExtendIntermediateSigmas),
        *(SamplingPercentToSigma, ManualSigmas),
    )
}
NAMES: dict[str, str] = {}
