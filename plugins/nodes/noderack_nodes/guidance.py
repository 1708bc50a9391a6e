"""MODEL in, MODEL out: how its output is read, how guidance joins its two sides, what is changed inside."""

from __future__ import annotations

from typing import Any, ClassVar

from noderack_nodes.errors import NodeInputError
from noderack_nodes.sockets import MODEL, Inputs, Mappings, Node, choice, flag, number

_BACKBONE, _SKIP = {"low": 0.0, "high": 10.0}, {"low": 0.0, "high": 10.0}
_SIGMA = {"low": 0.0, "high": 1000.0, "step": 0.001, "round": False}
_KINDS = {"v_prediction": "v", "edm": "edm", "eps": "eps"}


class ModelChange(Node):
    """Gives a changed model; the one that came in stays as it is."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "patch"


class ModelSamplingDiscrete(ModelChange):
    """What the network predicts, over the thousand noise levels of Stable Diffusion."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "sampling": choice("eps", "v_prediction", "lcm", "x0", "img_to_img"),
            "zsnr": flag(False),
        }
    }
    CATEGORY = "advanced/model"

    def patch(self, model: Any, sampling: str, zsnr: bool) -> tuple[Any]:
        """`zsnr` stretches the levels so that the last one is pure noise."""
        from noderack_diffusion.distilled import distilled
        from noderack_diffusion.sigma import standard

        if sampling == "lcm":
            return (model.with_parametrisation(distilled(zero_snr=zsnr)),)
        kind = {"v_prediction": "v", "img_to_img": "plain"}.get(sampling, sampling)
        return (model.with_parametrisation(standard(kind, zsnr, model.spec.family.betas)),)


class ModelSamplingContinuousEDM(ModelChange):
    """What the network predicts, over a continuous range of noise levels."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "sampling": choice("v_prediction", "edm", "edm_playground_v2.5", "eps", "cosmos_rflow"),
            "sigma_max": number(120.0, **_SIGMA),
            "sigma_min": number(0.002, **_SIGMA),
        }
    }
    CATEGORY = "advanced/model"

    def patch(self, model: Any, sampling: str, sigma_max: float, sigma_min: float) -> tuple[Any]:
        """The first noise level and the last."""
        from noderack_diffusion.sigma import Parametrisation, continuous_edm
        from noderack_diffusion.spec import PLAYGROUND

        if sampling == "edm_playground_v2.5":
            model, sampling = model.with_latents(PLAYGROUND), "edm"
        if sampling not in _KINDS:
            raise NodeInputError(
                f"{sampling!r} belongs to a family that is not here yet; choose one of {', '.join(_KINDS)}"
            )
        data = 0.5 if sampling == "edm" else 1.0
        times = continuous_edm(sigma_min, sigma_max)
        return (model.with_parametrisation(Parametrisation(_KINDS[sampling], times, data)),)


class ModelSamplingContinuousV(ModelChange):
    """A velocity, over the angles between signal and noise."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "sampling": choice("v_prediction"),
            "sigma_max": number(500.0, **_SIGMA),
            "sigma_min": number(0.03, **_SIGMA),
        }
    }
    CATEGORY = "advanced/model"

    def patch(self, model: Any, sampling: str, sigma_max: float, sigma_min: float) -> tuple[Any]:
        """The first noise level and the last."""
        from noderack_diffusion.sigma import Parametrisation, continuous_angle

        return (model.with_parametrisation(Parametrisation("v", continuous_angle(sigma_min, sigma_max))),)


class RescaleCFG(ModelChange):
    """Guidance that keeps the contrast of the prompted prediction (Lin et al., 2023)."""

    INPUTS: ClassVar[Inputs] = {"required": {"model": MODEL, "multiplier": number(0.7, 0.0, 1.0)}}
    CATEGORY = "advanced/model"

    def patch(self, model: Any, multiplier: float) -> tuple[Any]:
        """`multiplier` says how much of the correction."""
        from noderack_diffusion.guiders import rescaled

        combine = rescaled(multiplier)

        def formula(told: dict[str, Any]) -> Any:
            yes, no, x = told["cond_denoised"], told["uncond_denoised"], told["input"]
            return x - combine(yes, no, told["cond_scale"], x, float(told["sigma"].max()))

        changed = model.clone()
        changed.set_model_sampler_cfg_function(formula)
        return (changed,)


class FreeU(ModelChange):
    """Strengthens what the second half of the U-Net computes, damps what it takes over from the first."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "b1": number(1.1, **_BACKBONE),
            "b2": number(1.2, **_BACKBONE),
            "s1": number(0.9, **_SKIP),
            "s2": number(0.2, **_SKIP),
        }
    }
    CATEGORY = "model_patches/unet"
    second: ClassVar[bool] = False

    def patch(self, model: Any, b1: float, b2: float, s1: float, s2: float) -> tuple[Any]:
        """`b` for what is computed, `s` for what is taken over; 1 for the widest stages, 2 for the next."""
        from dataclasses import replace

        from noderack_diffusion.freeu import freeu

        hook = freeu(model.spec.unet.width, (b1, b2), (s1, s2), second=self.second)
        return (model.with_hooks(replace(model.hooks, skip=hook)),)


class FreeU_V2(FreeU):
    """The same, stronger where much is going on."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "b1": number(1.3, **_BACKBONE),
            "b2": number(1.4, **_BACKBONE),
            "s1": number(0.9, **_SKIP),
            "s2": number(0.2, **_SKIP),
        }
    }
    second = True


NODES: Mappings = {
    node.__name__: node
    for node in (
        *(ModelSamplingDiscrete, ModelSamplingContinuousEDM, ModelSamplingContinuousV),
        *(RescaleCFG, FreeU, FreeU_V2),
    )
}
NAMES: dict[str, str] = {}
