"""What a SAMPLER socket carries for packs: a function that walks down noise levels, with its options."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from noderack_diffusion.errors import UnknownNameError
from noderack_diffusion.patching.calls import k_sampler
from noderack_diffusion.sampling import FRESH_MASK_NOISE, SAMPLERS


class Sampler:
    """Packs inherit from it."""

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        """To be overridden."""
        raise NotImplementedError

    def max_denoise(self, model_wrap: Any, sigmas: Any) -> bool:
        """Whether the run starts from pure noise."""
        most = float(model_wrap.inner_model.model_sampling.sigma_max)
        first = float(sigmas[0])
        return first > most or math.isclose(first, most, rel_tol=1e-5)


class KSamplerX0Inpaint:
    """The model as samplers call it: what a mask keeps stays as it is."""

    noise: Tensor
    latent_image: Tensor

    def __init__(self, model: Any, sigmas: Tensor) -> None:
        self.inner_model, self.sigmas = model, sigmas

    def __call__(
        self, x: Tensor, sigma: Tensor, denoise_mask: Any = None, model_options: Any = None, seed: Any = None
    ) -> Tensor:
        options = model_options or {}
        if denoise_mask is None:
            return self._clean(x, sigma, options, seed)
        change = options.get("denoise_mask_function")
        if change is not None:
            more = {"model": self.inner_model, "sigmas": self.sigmas}
            denoise_mask = change(sigma, denoise_mask, extra_options=more)
        keep = 1.0 - denoise_mask
        base = self.inner_model.inner_model
        kept = base.scale_latent_inpaint(
            x=x, sigma=sigma, noise=self.noise, latent_image=self.latent_image, denoise_mask=denoise_mask
        )
        clean = self._clean(x * denoise_mask + kept * keep, sigma, options, seed)
        mixed: Tensor = clean * denoise_mask + self.latent_image * keep
        return mixed

    def _clean(self, x: Tensor, sigma: Tensor, options: Any, seed: Any) -> Tensor:
        clean: Tensor = self.inner_model(x, sigma, model_options=options, seed=seed)
        return clean


class KSAMPLER(Sampler):
    """A function with the arguments of k-diffusion's samplers, one of the core or of a pack."""

    def __init__(
        self, sampler_function: Any, extra_options: dict[str, Any] | None = None, inpaint_options: Any = None
    ) -> None:
        named = isinstance(sampler_function, str)
        self.sampler_function = k_sampler(sampler_function) if named else sampler_function
        self.extra_options = extra_options or {}
        self.inpaint_options = inpaint_options or {}

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,
        latent_image: Any = None,
        denoise_mask: Any = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        """From noise (and a latent, scaled for the network) to a latent."""
        extra_args["denoise_mask"] = denoise_mask
        model = KSamplerX0Inpaint(model_wrap, sigmas)
        model.latent_image, model.noise = latent_image, noise
        if self.inpaint_options.get("random"):
            again = torch.Generator().manual_seed((extra_args.get("seed") or 41) + 1)
            model.noise = torch.randn(noise.shape, generator=again).to(noise)
        measured, total = model_wrap.inner_model.model_sampling, len(sigmas) - 1
        full = self.max_denoise(model_wrap, sigmas)
        x = measured.noise_scaling(sigmas[0], noise.clone(), latent_image, full)

        def report(told: dict[str, Any]) -> None:
            if callback is not None:
                callback(told["i"], told["denoised"], told["x"], total)

        x = self.sampler_function(
            model,
            x,
            sigmas,
            extra_args=extra_args,
            callback=report,
            disable=disable_pbar,
            **self.extra_options,
        )
        out: Tensor = measured.inverse_noise_scaling(sigmas[-1], x)
        return out


def ksampler(
    sampler_name: str, extra_options: dict[str, Any] | None = None, inpaint_options: Any = None
) -> KSAMPLER:
    """The sampler of that name with options of its own."""
    return KSAMPLER(sampler_name, extra_options, inpaint_options)


def sampler_object(name: str) -> KSAMPLER:
    """The sampler of that name; raises UnknownNameError."""
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, tuple(SAMPLERS))
    return KSAMPLER(name, inpaint_options={"random": name in FRESH_MASK_NOISE})
