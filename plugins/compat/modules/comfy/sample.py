"""`comfy.sample`: noise, and sampling by names."""

from __future__ import annotations

from typing import Any

import torch
from noderack_compat.missing import gap
from noderack_diffusion.noise import Noise

__getattr__ = gap(__name__)


def prepare_noise(latent_image: torch.Tensor, seed: int, noise_inds: Any = None) -> torch.Tensor:
    """The noise that a seed means for a latent, on the CPU."""
    return Noise(seed).initial(latent_image, noise_inds)


def fix_empty_latent_channels(model: Any, latent_image: torch.Tensor, *_: Any) -> torch.Tensor:
    """An empty latent repeated to as many channels as the model has; any other as it is."""
    channels = model.spec.family.latent.channels if hasattr(model, "spec") else latent_image.shape[1]
    if latent_image.shape[1] != channels and torch.count_nonzero(latent_image) == 0:
        from comfy.utils import repeat_to_batch_size

        return repeat_to_batch_size(latent_image, channels, dim=1)
    return latent_image


def sample(
    model: Any,
    noise: Any,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Any,
    negative: Any,
    latent_image: torch.Tensor,
    denoise: float = 1.0,
    disable_noise: bool = False,
    start_step: int | None = None,
    last_step: int | None = None,
    force_full_denoise: bool = False,
    noise_mask: Any = None,
    sigmas: Any = None,
    callback: Any = None,
    disable_pbar: bool = False,
    seed: int | None = None,
) -> torch.Tensor:
    """A sampling run from the noise that is given, with samplers and schedulers that packs have added too."""
    from comfy.samplers import KSampler

    chosen = KSampler(model, steps, model.load_device, sampler_name, scheduler, denoise)
    start = torch.zeros_like(noise) if disable_noise else noise
    how = (force_full_denoise, noise_mask, sigmas, callback, disable_pbar, seed)
    return chosen.sample(start, positive, negative, cfg, latent_image, start_step, last_step, *how)


def sample_custom(
    model: Any,
    noise: Any,
    cfg: float,
    sampler: Any,
    sigmas: torch.Tensor,
    positive: Any,
    negative: Any,
    latent_image: torch.Tensor,
    noise_mask: Any = None,
    callback: Any = None,
    disable_pbar: bool = False,
    seed: int | None = None,
) -> torch.Tensor:
    """A run with a sampler and levels of one's own."""
    from comfy.samplers import sample as run

    device = getattr(model, "load_device", None)
    return run(
        model,
        noise,
        positive,
        negative,
        cfg,
        device,
        sampler,
        sigmas,
        None,
        latent_image,
        noise_mask,
        callback,
        disable_pbar,
        seed,
    )


def prepare_sampling(model: Any, noise_shape: Any, positive: Any, negative: Any, noise_mask: Any) -> Any:
    """What older packs call before a run: there is nothing to load."""
    return model, positive, negative, noise_mask, []


def cleanup_additional_models(models: Any) -> None:
    """Nothing to do: the core gives weights back by itself."""
