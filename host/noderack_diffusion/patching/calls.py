"""Samplers of the core called as packs call samplers, and what packs call as the core calls it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from noderack_diffusion.errors import UnknownNameError
from noderack_diffusion.noise import Noise
from noderack_diffusion.patching.conds import watched
from noderack_diffusion.patching.measure import parametrisation
from noderack_diffusion.sampling import Sampler, Task
from noderack_diffusion.sampling import sampler as core_sampler
from noderack_diffusion.sigma import Parametrisation, standard


def k_sampler(named: str | Sampler) -> Callable[..., Tensor]:
    """A sampler of the core, or its name, as `f(model, x, sigmas, extra_args, callback, disable,
    **options)`.
    """
    name = named if isinstance(named, str) else getattr(named, "__name__", "of_the_core")
    function = core_sampler(named) if isinstance(named, str) else named

    def sample(
        model: Any,
        x: Tensor,
        sigmas: Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], None] | None = None,
        disable: bool | None = None,
        **options: Any,
    ) -> Tensor:
        given = dict(extra_args or {})
        options = _in_our_words(options)
        task = _task(model, x, given, callback, sigmas, options)
        walked: Tensor = _with(name, function, options)(task, x, [float(s) for s in sigmas])
        return walked

    sample.__name__ = f"sample_{name}"
    return sample


def _with(name: str, function: Sampler, options: dict[str, Any]) -> Callable[..., Tensor]:
    """The sampler with those options set; one that it has not is refused by name."""
    known = inspect.signature(function).parameters
    wanted = {key: value for key, value in options.items() if key not in _ELSEWHERE and value is not None}
    extra = [key for key in wanted if key not in known and wanted[key] != _USUAL.get(key, object())]
    if extra:
        raise UnknownNameError(f"option of the sampler {name}", extra[0], tuple(known)[3:])
    return partial(function, **{key: value for key, value in wanted.items() if key in known})


_NAMES = {
    "predictor_order": "predictor",
    "corrector_order": "corrector",
    "use_pece": "pece",
    "tau_func": "tau",
    "simple_order_2": "simple",
    "noise_scaler": "scaler",
    "max_stage": "stages",
    "h_init": "first",
    "accept_safety": "safety",
}
"""Options of samplers as packs call them, and as the core does."""
_KINDS: dict[str, dict[str, Any]] = {"heun": {"heun": True}, "phi_1": {}, "phi_2": {"second": True}}
"""What a ``solver_type`` means, where it is not the usual one."""


def _in_our_words(options: dict[str, Any]) -> dict[str, Any]:
    told = {_NAMES.get(name, name): value for name, value in options.items()}
    told |= _KINDS.get(told.get("solver_type", ""), {})
    if told.get("solver_type") in _KINDS:
        del told["solver_type"]
    terms = tuple(told.pop(f"{part}coeff", usual) for part, usual in (("p", 0.0), ("i", 1.0), ("d", 0.0)))
    return told if terms == (0.0, 1.0, 0.0) else {**told, "terms": terms}


_ELSEWHERE = {"noise_sampler", "s_noise"}
_USUAL: dict[str, Any] = {
    "eta": 1.0,
    "s_churn": 0.0,
    "s_tmin": 0.0,
    "s_tmax": float("inf"),
    "r": 0.5,
    "solver_type": "midpoint",
}
"""Values of options that change nothing, for samplers that do not have them."""


def _task(
    model: Any,
    x: Tensor,
    given: dict[str, Any],
    callback: Callable[[dict[str, Any]], None] | None,
    sigmas: Tensor,
    options: dict[str, Any],
) -> Task:
    noise = _PackNoise(given.get("seed"), options.get("noise_sampler"), options.get("s_noise", 1.0))

    def denoise(x: Tensor, sigma: float, **other: Any) -> Tensor:
        level = x.new_full((x.shape[0],), sigma, dtype=torch.float32)
        clean: Tensor = model(x, level, **{**given, **other})
        return clean

    def both(x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        watching, kept = watched(given.get("model_options", {}))
        clean = denoise(x, sigma, model_options=watching)
        return clean, kept[-1] if kept else clean

    def seen(step: int, clean: Tensor, x: Tensor) -> None:
        if callback is not None:
            level = sigmas[step]
            callback({"x": x, "i": step, "sigma": level, "sigma_hat": level, "denoised": clean})

    return Task(denoise, noise, param_of(model), both, seen)


class _PackNoise(Noise):
    """A run's noise, part of which a pack may draw."""

    def __init__(self, seed: int | None, drawn: Callable[[Any, Any], Tensor] | None, strength: float) -> None:
        super().__init__(41 if seed is None else seed, strength=strength)
        self._drawn = drawn

    def ancestral(self, like: Tensor) -> Callable[[], Tensor]:
        drawn = self._drawn
        return super().ancestral(like) if drawn is None else lambda: drawn(None, None) * self.strength

    def brownian(
        self, like: Tensor, low: float, high: float, *, on_cpu: bool
    ) -> Callable[[float, float], Tensor]:
        drawn = self._drawn
        if drawn is None:
            return super().brownian(like, low, high, on_cpu=on_cpu)
        level = partial(torch.tensor, dtype=torch.float32, device=like.device)
        return lambda now, then: drawn(level(now), level(then)) * self.strength


def param_of(model: Any) -> Parametrisation:
    """How noise is measured for whatever a sampler was given as its model."""
    for _ in range(4):
        found = getattr(model, "model_sampling", None)
        if found is not None:
            return parametrisation(found)
        model = getattr(model, "inner_model", None)
    return standard()
