"""One whole sampling run: latent in, latent out, as a sampler node does it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from noderack_diffusion.checkpoint import Model
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.guide import Conditioning, Guide, prepare
from noderack_diffusion.guiders import Cfg, Guider, Hooks
from noderack_diffusion.latents import fitting
from noderack_diffusion.noise import Noise
from noderack_diffusion.patching.conds import OptionCfg, dict_of
from noderack_diffusion.sampling import FRESH_MASK_NOISE, OnStep, Task, sampler
from noderack_diffusion.sigma import Parametrisation, schedule

GUIDER_STEPS = ("outer_sample", "predict_noise", "sampler_sample")
__all__ = ["guided_by", "run", "sample", "sigmas_for"]


def sigmas_for(
    model: Model,
    scheduler: str,
    steps: int,
    denoise: float = 1.0,
    sampler: str = "",
    *,
    start: int | None = None,
    end: int | None = None,
    finish: bool = False,
) -> list[float]:
    """The sigmas of a run, cut to the steps ``start`` .. ``end``; ``finish`` makes the last of them 0."""
    sigmas = schedule(model.param, scheduler, steps, denoise, sampler)
    if end is not None and end < len(sigmas) - 1:
        sigmas = sigmas[: end + 1]
        if finish:
            sigmas[-1] = 0.0
    if start is not None:
        sigmas = sigmas[start:] if start < len(sigmas) - 1 else []
    return sigmas


def sample(
    model: Model,
    *,
    latent: Tensor,
    positive: Conditioning,
    negative: Conditioning,
    cfg: float,
    sampler: str,
    scheduler: str,
    steps: int,
    seed: int,
    denoise: float = 1.0,
    start: int | None = None,
    end: int | None = None,
    add_noise: bool = True,
    finish: bool = False,
    noise_mask: Tensor | None = None,
    batch_index: Sequence[int] | None = None,
    noise_rule: str = "2025-10",
    on_step: OnStep | None = None,
) -> Tensor:
    """Sample from ``latent [B, C, h, w]`` (unscaled, as the autoencoder gives it) and give a latent like it.

    ``start`` and ``end`` cut the run to those steps, ``finish`` ends a cut run without noise left over.
    ``noise_mask`` (1: draw anew, 0: keep) is any ``[.., H, W]``. ``on_step(step, steps, clean, x)`` sees each
    step and may raise to stop. Raises UnknownNameError for a sampler or scheduler that is not in the tables,
    MismatchError for a latent or a prompt of another model.
    """
    latent = fitting(model, latent)
    sigmas = sigmas_for(model, scheduler, steps, denoise, sampler, start=start, end=end, finish=finish)
    noise = Noise(seed, noise_rule)
    first = noise.initial(latent, batch_index) if add_noise else torch.zeros_like(latent, device="cpu")
    if len(sigmas) < 2:
        return latent
    if _is_wrapped(model):
        return _by_guider(
            model, positive, negative, cfg, sampler, sigmas, latent, first, noise_mask, seed, on_step
        )
    guided = guided_by(model, positive, negative, cfg, latent, mask=noise_mask, sigmas=sigmas, seed=seed)
    return run(
        model,
        guided,
        sampler,
        sigmas,
        latent=latent,
        noise=noise,
        first=first,
        mask=noise_mask,
        on_step=on_step,
    )


def _is_wrapped(model: Model) -> bool:
    """Whether packs have put functions around steps that only a guider has."""
    changes = getattr(model, "changes", None)
    return changes is not None and any(changes.wrappers.get(kind) for kind in GUIDER_STEPS)


def _by_guider(
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    cfg: float,
    sampler: str,
    sigmas: Sequence[float],
    latent: Tensor,
    first: Tensor,
    mask: Tensor | None,
    seed: int,
    on_step: OnStep | None,
) -> Tensor:
    """The same run by the guider that packs know, inside the functions that they put around it."""
    from noderack_diffusion.patching.guiding import CFGGuider
    from noderack_diffusion.patching.sampler import sampler_object

    guider = CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    seen = None if on_step is None else lambda step, clean, x, steps: on_step(step, steps, clean, x)
    levels = torch.tensor(list(sigmas), dtype=torch.float32)
    return guider.sample(first, latent, sampler_object(sampler), levels, mask, seen, seed=seed)


def guided_by(
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    cfg: float,
    latent: Tensor,
    *,
    mask: Tensor | None = None,
    sigmas: Sequence[float] = (),
    seed: int = 0,
) -> Guider:
    """Classifier-free guidance over two conditioning lists, for latents like ``latent``."""
    if not positive:
        raise MismatchError("the positive conditioning is empty: connect a text encoder to the sampler")
    wanted, unwanted = prepare(model, [positive, negative], latent.to(model.device), mask, seed)
    changes = getattr(model, "changes", None)
    if changes is not None and changes.steers:
        options = changes.sampling_options()
        options["transformer_options"]["sample_sigmas"] = torch.tensor(sigmas)
        return OptionCfg(
            model.model, [dict_of(c) for c in wanted], [dict_of(c) for c in unwanted], cfg, options
        )
    return Cfg(Guide(model, sigmas=sigmas), wanted, unwanted, cfg, getattr(model, "hooks", Hooks()))


def run(
    model: Model,
    guided: Guider,
    name: str,
    sigmas: Sequence[float],
    *,
    latent: Tensor,
    noise: Noise,
    first: Tensor,
    mask: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Walk ``sigmas`` with the sampler ``name`` from ``latent`` plus the noise ``first``."""
    solve = sampler(name)
    device, scale = model.device, model.spec.family.latent
    clean = scale.into(latent.to(device, torch.float32)) if latent.any() else latent.to(device)
    first = first.to(device, torch.float32)
    x = model.param.noised(sigmas[0], first, clean, full=model.param.is_full(sigmas[0]))
    masked_noise = noise.fresh(first) if name in FRESH_MASK_NOISE else first
    inpaint = _inpaint(model.param, mask, clean, masked_noise, _mask_change(model, sigmas))
    task = Task(
        denoise=inpaint(guided),
        noise=noise,
        param=model.param,
        with_uncond=inpaint(guided.both),
        seen=_reporter(on_step, len(sigmas) - 1),
    )
    with torch.no_grad(), model.at_work() if getattr(model, "changes", None) else _plain(model):
        x = model.param.finished(sigmas[-1], solve(task, x, sigmas))
    return scale.back(x).to(latent.device).clone()


@contextmanager
def _plain(model: Model) -> Iterator[None]:
    """A run of a model without any changes of packs."""
    try:
        yield
    finally:
        release = getattr(getattr(model, "live", None), "release", None)
        if release is not None:
            release()


def _reporter(on_step: OnStep | None, steps: int) -> Callable[[int, Tensor, Tensor], None]:
    if on_step is None:
        return lambda step, clean, x: None
    return lambda step, clean, x: on_step(step, steps, clean, x)


def fit_mask(mask: Tensor, like: Tensor) -> Tensor:
    """A mask of any size and batch as ``[B, C, h, w]`` of the latent ``like``, bilinear and not rounded."""
    mask = mask.reshape(-1, 1, mask.shape[-2], mask.shape[-1]).to(like.device, torch.float32)
    mask = F.interpolate(mask, size=like.shape[-2:], mode="bilinear")
    mask = mask.repeat(-(-like.shape[0] // mask.shape[0]), 1, 1, 1)[: like.shape[0]]
    return mask.expand(like.shape)


MaskChange = Callable[[Tensor, float], Tensor]
"""(mask, sigma) -> the mask at that noise level."""


def _mask_change(model: Model, sigmas: Sequence[float]) -> MaskChange:
    """What packs have put on the model to change the mask as the run goes on."""
    changes = getattr(model, "changes", None)
    change = changes.options.get("denoise_mask_function") if changes is not None else None
    if change is None:
        return lambda mask, sigma: mask
    told = {"model": SimpleNamespace(inner_model=model.model), "sigmas": torch.tensor(sigmas)}
    return lambda mask, sigma: change(mask.new_full((len(mask),), sigma), mask, extra_options=told)


def _inpaint(
    param: Parametrisation, mask: Tensor | None, clean: Tensor, noise: Tensor, change: MaskChange
) -> Callable[[Callable[[Tensor, float], Any]], Callable[[Tensor, float], Any]]:
    """Wraps a denoiser so that what the mask keeps stays as it is, at each noise level."""
    if mask is None:
        return lambda denoise: denoise
    whole = fit_mask(mask, clean)

    def wrap(denoise: Callable[[Tensor, float], Any]) -> Callable[[Tensor, float], Any]:
        def masked(x: Tensor, sigma: float) -> Any:
            draw = change(whole, sigma)
            keep = 1.0 - draw
            out = denoise(x * draw + param.noised(sigma, noise, clean) * keep, sigma)
            if isinstance(out, tuple):
                return out[0] * draw + clean * keep, *out[1:]
            return out * draw + clean * keep

        return masked

    return wrap
