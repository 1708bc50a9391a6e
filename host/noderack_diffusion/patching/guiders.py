"""What NOISE and GUIDER sockets carry: guiders of several conditionings, as packs know guiders."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noderack_diffusion.errors import MismatchError
from noderack_diffusion.guide import Conditioning
from noderack_diffusion.guiders import without_parallel
from noderack_diffusion.model import Model
from noderack_diffusion.noise import Noise
from noderack_diffusion.patching.conds import calc_cond_batch, cfg_function
from noderack_diffusion.patching.guiding import CFGGuider


@dataclass(frozen=True, slots=True)
class RandomNoise:
    """The initial noise of a seed."""

    seed: int

    def generate_noise(self, input_latent: Mapping[str, Any]) -> Tensor:
        """Noise like the latent's "samples", on the CPU."""
        return Noise(self.seed).initial(input_latent["samples"], input_latent.get("batch_index"))


@dataclass(frozen=True, slots=True)
class NoNoise:
    """Zeros; ``seed`` is for what samplers draw on their way."""

    seed: int = 0

    def generate_noise(self, input_latent: Mapping[str, Any]) -> Tensor:
        """Zeros like the latent's "samples"."""
        return torch.zeros_like(input_latent["samples"], device="cpu")


def cfg_guider(model: Model, positive: Conditioning, negative: Conditioning, scale: float) -> CFGGuider:
    """Classifier-free guidance."""
    guider = CFGGuider(model)
    guider.set_conds(_given(positive), negative)
    guider.set_cfg(scale)
    return guider


def basic_guider(model: Model, conditioning: Conditioning) -> CFGGuider:
    """One conditioning alone."""
    guider = CFGGuider(model)
    guider.inner_set_conds({"positive": list(_given(conditioning))})
    return guider


def _given(conditioning: Conditioning) -> Conditioning:
    if not conditioning:
        raise MismatchError("the positive conditioning is empty: connect a text encoder to the guider")
    return conditioning


class DualGuider(CFGGuider):
    """Two prompts: from the negative to the second by one scale, from there to the first by another."""

    def __init__(
        self, model: Model, scale_first: float, scale_second: float, *, nested: bool = False
    ) -> None:
        super().__init__(model)
        self.first, self.second, self.nested = scale_first, scale_second, nested
        self.set_cfg(scale_second)

    def set_all(self, first: Conditioning, second: Conditioning, negative: Conditioning) -> None:
        """The three of them."""
        lists = {"positive": list(_given(first)), "middle": list(second), "negative": list(negative)}
        self.inner_set_conds(lists)

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: Any = None, seed: int | None = None
    ) -> Tensor:
        """The clean latent of a step. ``nested`` guides the result of both away from the negative."""
        options = self.model_options if model_options is None else model_options
        sides = [self.conds.get(name) for name in ("negative", "middle", "positive")]
        no, middle, yes = calc_cond_batch(self.inner_model, sides, x, timestep, options)
        inner = self.inner_model
        if self.nested:
            both = cfg_function(inner, yes, middle, self.first, x, timestep, options, sides[2], sides[1])
            return no + self.second * (both - no)
        guided = cfg_function(inner, middle, no, self.second, x, timestep, options, sides[1], sides[0])
        return guided + (yes - middle) * self.first


class PerpNegGuider(CFGGuider):
    """Guided away only from the part of the negative that does not point along the positive."""

    def __init__(self, model: Model, scale: float, negative_scale: float) -> None:
        super().__init__(model)
        self.set_cfg(scale)
        self.negative_scale = negative_scale

    def set_all(self, positive: Conditioning, negative: Conditioning, empty: Conditioning) -> None:
        """The three of them."""
        lists = {"positive": list(_given(positive)), "empty": list(empty), "negative": list(negative)}
        self.inner_set_conds(lists)

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: Any = None, seed: int | None = None
    ) -> Tensor:
        """The clean latent of a step; functions after guidance see the negative as the other side."""
        options = self.model_options if model_options is None else model_options
        sides = [self.conds.get(name) for name in ("positive", "negative", "empty")]
        yes, no, nothing = calc_cond_batch(self.inner_model, sides, x, timestep, options)
        clean = without_parallel(yes, no, nothing, self.cfg, self.negative_scale)
        told: dict[str, Any] = {"cond": sides[0], "uncond": sides[1], "cond_scale": self.cfg}
        told |= {"model": self.inner_model, "model_options": options, "input": x, "sigma": timestep}
        told |= {"cond_denoised": yes, "uncond_denoised": no}
        for after in options.get("sampler_post_cfg_function", ()):
            clean = after({**told, "denoised": clean})
        return clean


def noised(model: Model, latent: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    """A latent (as the autoencoder has it) with the noise between the first sigma and the last on it."""
    amount = float(sigmas[0] - sigmas[-1]) if len(sigmas) > 1 else float(sigmas[0])
    form = model.spec.family.latent
    inner = form.into(latent) if latent.any() else latent
    mixed = model.param.noised(amount, noise.to(inner), inner)
    return form.back(mixed).nan_to_num(0.0, 0.0, 0.0)
