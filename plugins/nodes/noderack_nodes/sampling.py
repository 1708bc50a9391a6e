"""From noise to a latent: the two sampler nodes that nearly every workflow ends in."""

from __future__ import annotations

import logging
from typing import Any

from noderack_nodes.previews import preview_of
from noderack_nodes.sockets import (
    CONDITIONING,
    LATENT,
    MODEL,
    Conditioning,
    Inputs,
    Latent,
    Mappings,
    Node,
    choice,
    integer,
    number,
    seed,
)

log = logging.getLogger(__name__)
_STEPS = integer(20, 1, 10000)
_CFG = number(8.0, 0.0, 100.0, 0.1, round=0.01)


def _samplers() -> tuple[list[str]]:
    from noderack_diffusion.sampling import SAMPLERS

    return (list(SAMPLERS),)


def _schedulers() -> tuple[list[str]]:
    from noderack_diffusion.sigma import SCHEDULERS

    return (list(SCHEDULERS),)


class KSampler(Node):
    """Takes noise away from a latent, step by step, led by the texts."""

    RETURN_TYPES = ("LATENT",)
    CATEGORY = "sampling"
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The samplers and schedulers that the core has."""
        return {
            "required": {
                "model": MODEL,
                "seed": seed(),
                "steps": _STEPS,
                "cfg": _CFG,
                "sampler_name": _samplers(),
                "scheduler": _schedulers(),
                "positive": CONDITIONING,
                "negative": CONDITIONING,
                "latent_image": LATENT,
                "denoise": number(1.0, 0.0, 1.0),
            }
        }

    def sample(
        self,
        model: Any,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Conditioning,
        negative: Conditioning,
        latent_image: Latent,
        denoise: float = 1.0,
    ) -> tuple[Latent]:
        """`denoise` below 1 keeps that much less of the latent that comes in."""
        return (
            _sample(
                model,
                latent_image,
                positive=positive,
                negative=negative,
                cfg=cfg,
                sampler=sampler_name,
                scheduler=scheduler,
                steps=steps,
                denoise=denoise,
                seed=seed,
            ),
        )


class KSamplerAdvanced(Node):
    """The same for a part of the steps, with noise added or left over."""

    RETURN_TYPES = ("LATENT",)
    CATEGORY = "sampling"
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The samplers and schedulers that the core has."""
        return {
            "required": {
                "model": MODEL,
                "add_noise": choice("enable", "disable"),
                "noise_seed": seed(),
                "steps": _STEPS,
                "cfg": _CFG,
                "sampler_name": _samplers(),
                "scheduler": _schedulers(),
                "positive": CONDITIONING,
                "negative": CONDITIONING,
                "latent_image": LATENT,
                "start_at_step": integer(0, 0, 10000),
                "end_at_step": integer(10000, 0, 10000),
                "return_with_leftover_noise": choice("disable", "enable"),
            }
        }

    def sample(
        self,
        model: Any,
        add_noise: str,
        noise_seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Conditioning,
        negative: Conditioning,
        latent_image: Latent,
        start_at_step: int,
        end_at_step: int,
        return_with_leftover_noise: str,
        denoise: float = 1.0,
    ) -> tuple[Latent]:
        """Steps `start_at_step` up to, not including, `end_at_step` of `steps`; packs may pass `denoise`."""
        return (
            _sample(
                model,
                latent_image,
                positive=positive,
                negative=negative,
                cfg=cfg,
                sampler=sampler_name,
                scheduler=scheduler,
                steps=steps,
                seed=noise_seed,
                add_noise=add_noise == "enable",
                start=start_at_step,
                end=end_at_step,
                finish=return_with_leftover_noise == "disable",
                denoise=denoise,
            ),
        )


def _sample(model: Any, latent: Latent, **how: Any) -> Latent:
    """The latent after sampling; reports each step to the host and stops when the user says so."""
    from noderack_diffusion.sampling_run import sample
    from noderack_host.running import current

    running = current()

    def on_step(step: int, of: int, clean: Any, _: Any) -> None:
        running.progress(step + 1, of, preview_of(model, clean))

    result = sample(
        model,
        latent=latent["samples"],
        noise_mask=latent.get("noise_mask"),
        batch_index=latent.get("batch_index"),
        on_step=on_step,
        **how,
    )
    return sound({**latent, "samples": result})


def fitted(model: Any, latent: Latent) -> Latent:
    """A latent that the model can sample from; models of packs are not asked."""
    from noderack_diffusion.latents import fitting
    from noderack_diffusion.model import Model

    return {**latent, "samples": fitting(model, latent["samples"])} if isinstance(model, Model) else latent


def sound(latent: Latent) -> Latent:
    """The same; if it holds values that are no numbers, the log says so and where they may come from."""
    if not latent["samples"].isfinite().all():
        log.warning(
            "the sampler ended in values that are no numbers (NaN), which decode to black: what went in may "
            "hold some (latent, prompt, LoRA), cfg may be too large, or the weights are broken"
        )
    return latent


NODES: Mappings = {"KSampler": KSampler, "KSamplerAdvanced": KSamplerAdvanced}
NAMES = {"KSampler": "KSampler", "KSamplerAdvanced": "KSampler (Advanced)"}
