"""Sampling in parts: NOISE, GUIDER, SAMPLER and SIGMAS, brought together by one node.

What these sockets carry has the methods that packs of the field call and inherit from, so a guider of a pack
runs with a sampler of the core, and the other way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.previews import preview_of
from noderack_nodes.sampling import fitted, sound
from noderack_nodes.sockets import (
    CONDITIONING,
    LATENT,
    MODEL,
    SIGMAS,
    Conditioning,
    Inputs,
    Latent,
    Mappings,
    Node,
    choice,
    flag,
    number,
    seed,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_CFG = number(8.0, 0.0, 100.0, 0.1, round=0.01)
_GUIDER, _SAMPLER, _NOISE = ("GUIDER",), ("SAMPLER",), ("NOISE",)


class RandomNoise(Node):
    """Noise of a seed."""

    INPUTS: ClassVar[Inputs] = {"required": {"noise_seed": seed()}}
    RETURN_TYPES = ("NOISE",)
    CATEGORY = "sampling/custom_sampling/noise"
    FUNCTION = "get_noise"

    def get_noise(self, noise_seed: int) -> tuple[Any]:
        """Drawn when a sampler asks for it."""
        from noderack_diffusion.patching.guiders import RandomNoise as Noise

        return (Noise(noise_seed),)


class DisableNoise(Node):
    """No noise: for a run that goes on where another stopped."""

    RETURN_TYPES = ("NOISE",)
    CATEGORY = "sampling/custom_sampling/noise"
    FUNCTION = "get_noise"

    def get_noise(self) -> tuple[Any]:
        """Zeros."""
        from noderack_diffusion.patching.guiders import NoNoise

        return (NoNoise(),)


class KSamplerSelect(Node):
    """A sampler by its name."""

    RETURN_TYPES = ("SAMPLER",)
    CATEGORY = "sampling/custom_sampling/samplers"
    FUNCTION = "get_sampler"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The samplers that the core has."""
        from noderack_diffusion.sampling import SAMPLERS

        return {"required": {"sampler_name": (list(SAMPLERS),)}}

    def get_sampler(self, sampler_name: str) -> tuple[Any]:
        """With its usual options."""
        from noderack_diffusion.patching.sampler import sampler_object

        return (sampler_object(sampler_name),)


class Guider(Node):
    """Gives a GUIDER."""

    RETURN_TYPES = ("GUIDER",)
    CATEGORY = "sampling/custom_sampling/guiders"
    FUNCTION = "get_guider"


class CFGGuider(Guider):
    """Classifier-free guidance."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"model": MODEL, "positive": CONDITIONING, "negative": CONDITIONING, "cfg": _CFG}
    }

    def get_guider(
        self, model: Any, positive: Conditioning, negative: Conditioning, cfg: float
    ) -> tuple[Any]:
        """At scale 1 the negative side is not evaluated."""
        from noderack_diffusion.patching.guiders import cfg_guider

        return (cfg_guider(model, positive, negative, cfg),)


class BasicGuider(Guider):
    """One conditioning, as it is: for models with guidance built in."""

    INPUTS: ClassVar[Inputs] = {"required": {"model": MODEL, "conditioning": CONDITIONING}}

    def get_guider(self, model: Any, conditioning: Conditioning) -> tuple[Any]:
        """One evaluation a step."""
        from noderack_diffusion.patching.guiders import basic_guider

        return (basic_guider(model, conditioning),)


class DualCFGGuider(Guider):
    """Two conditionings, each with its scale."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "cond1": CONDITIONING,
            "cond2": CONDITIONING,
            "negative": CONDITIONING,
            "cfg_conds": _CFG,
            "cfg_cond2_negative": _CFG,
            "style": choice("regular", "nested"),
        }
    }

    def get_guider(
        self,
        model: Any,
        cond1: Conditioning,
        cond2: Conditioning,
        negative: Conditioning,
        cfg_conds: float,
        cfg_cond2_negative: float,
        style: str = "regular",
    ) -> tuple[Any]:
        """`cfg_conds` from the second to the first, `cfg_cond2_negative` from the negative to the second."""
        from noderack_diffusion.patching.guiders import DualGuider

        guider = DualGuider(model, cfg_conds, cfg_cond2_negative, nested=style == "nested")
        guider.set_all(cond1, cond2, negative)
        return (guider,)


class PerpNegGuider(Guider):
    """Guides away only from what the negative does not share with the positive."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "positive": CONDITIONING,
            "negative": CONDITIONING,
            "empty_conditioning": CONDITIONING,
            "cfg": _CFG,
            "neg_scale": number(1.0, 0.0, 100.0),
        }
    }
    CATEGORY = "_for_testing"

    def get_guider(
        self,
        model: Any,
        positive: Conditioning,
        negative: Conditioning,
        empty_conditioning: Conditioning,
        cfg: float,
        neg_scale: float,
    ) -> tuple[Any]:
        """`empty_conditioning` is the empty prompt."""
        from noderack_diffusion.patching.guiders import PerpNegGuider as Made

        guider = Made(model, cfg, neg_scale)
        guider.set_all(positive, negative, empty_conditioning)
        return (guider,)


class SamplerCustomAdvanced(Node):
    """Noise, guider, sampler and sigmas: a run."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "noise": _NOISE,
            "guider": _GUIDER,
            "sampler": _SAMPLER,
            "sigmas": SIGMAS,
            "latent_image": LATENT,
        }
    }
    RETURN_TYPES = ("LATENT", "LATENT")
    RETURN_NAMES = ("output", "denoised_output")
    CATEGORY = "sampling/custom_sampling"
    FUNCTION = "sample"

    def sample(
        self, noise: Any, guider: Any, sampler: Any, sigmas: Tensor, latent_image: Latent
    ) -> tuple[Latent, Latent]:
        """Where the run arrives, and the last clean latent that it saw on its way."""
        return _run(noise, guider, sampler, sigmas, latent_image)


class SamplerCustom(Node):
    """The same with classifier-free guidance and a seed."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "add_noise": flag(True),
            "noise_seed": seed(),
            "cfg": _CFG,
            "positive": CONDITIONING,
            "negative": CONDITIONING,
            "sampler": _SAMPLER,
            "sigmas": SIGMAS,
            "latent_image": LATENT,
        }
    }
    RETURN_TYPES = ("LATENT", "LATENT")
    RETURN_NAMES = ("output", "denoised_output")
    CATEGORY = "sampling/custom_sampling"
    FUNCTION = "sample"

    def sample(
        self,
        model: Any,
        add_noise: bool,
        noise_seed: int,
        cfg: float,
        positive: Conditioning,
        negative: Conditioning,
        sampler: Any,
        sigmas: Tensor,
        latent_image: Latent,
    ) -> tuple[Latent, Latent]:
        """Without `add_noise` the latent is taken for one that is still noisy."""
        from noderack_diffusion.patching.guiders import NoNoise, RandomNoise, cfg_guider

        noise = RandomNoise(noise_seed) if add_noise else NoNoise(noise_seed)
        return _run(noise, cfg_guider(model, positive, negative, cfg), sampler, sigmas, latent_image)


class AddNoise(Node):
    """Noise on a latent, without sampling."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {"model": MODEL, "noise": _NOISE, "sigmas": SIGMAS, "latent_image": LATENT}
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "_for_testing/custom_sampling/noise"
    FUNCTION = "add_noise"

    def add_noise(self, model: Any, noise: Any, sigmas: Tensor, latent_image: Latent) -> tuple[Latent]:
        """As much as lies between the first of the sigmas and the last."""
        from noderack_diffusion.patching.guiders import noised

        if not len(sigmas):
            return (latent_image,)
        latent_image = fitted(model, latent_image)
        samples = noised(model, latent_image["samples"], noise.generate_noise(latent_image), sigmas)
        return ({**latent_image, "samples": samples},)


def _run(noise: Any, guider: Any, sampler: Any, sigmas: Tensor, latent: Latent) -> tuple[Latent, Latent]:
    """Reports each step to the host and stops when the user says so."""
    from noderack_host.running import current

    running = current()
    latent = fitted(getattr(guider, "model_patcher", None), latent)
    seen: list[Tensor] = []

    def on_step(step: int, clean: Tensor, x: Tensor, of: int) -> None:
        seen[:] = [clean]
        running.progress(step + 1, of, preview_of(getattr(guider, "model_patcher", None), clean))

    samples = guider.sample(
        noise.generate_noise(latent),
        latent["samples"],
        sampler,
        sigmas,
        denoise_mask=latent.get("noise_mask"),
        callback=on_step,
        disable_pbar=True,
        seed=noise.seed,
    )
    arrived = sound({**latent, "samples": samples})
    if not seen:
        return arrived, arrived
    clean = guider.model_patcher.model.process_latent_out(seen[0].to(samples.device))
    return arrived, {**latent, "samples": clean}


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(RandomNoise, DisableNoise, KSamplerSelect, CFGGuider, BasicGuider, DualCFGGuider, PerpNegGuider),
        *(SamplerCustom, SamplerCustomAdvanced, AddNoise),
    )
}
NAMES: dict[str, str] = {}
