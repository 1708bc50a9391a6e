"""SAMPLER: samplers whose options are sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.sockets import (
    MODEL,
    Inputs,
    Mappings,
    Node,
    Socket,
    choice,
    combo,
    integer,
    number,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_UPSCALES = ("bislerp", "nearest-exact", "bilinear", "area", "bicubic")


def _exact(default: float, high: float = 100.0) -> Socket:
    return number(default, 0.0, high, round=False)


_ETA, _NOISE = _exact(1.0), _exact(1.0)
_STOCHASTIC = {"eta": _ETA, "s_noise": _NOISE}
_WHERE = choice("gpu", "cpu")


def _named(name: str, **options: Any) -> tuple[Any]:
    from noderack_diffusion.patching.sampler import ksampler

    return (ksampler(name, options),)


class SamplerNode(Node):
    """Gives a SAMPLER."""

    RETURN_TYPES = ("SAMPLER",)
    CATEGORY = "sampling/custom_sampling/samplers"
    FUNCTION = "get_sampler"


class SamplerOptions(SamplerNode):
    """The sampler that `sampler` names, with the node's inputs as its options."""

    sampler: ClassVar[str] = ""

    def get_sampler(self, **options: Any) -> tuple[Any]:
        """`eta` is how much of each step is noise, `s_noise` scales that noise."""
        return _named(self.sampler, **options)


class SamplerEulerAncestral(SamplerOptions):
    """Euler with ancestral noise."""

    INPUTS: ClassVar[Inputs] = {"required": _STOCHASTIC}
    sampler = "euler_ancestral"


class SamplerEulerAncestralCFGPP(SamplerOptions):
    """Euler with ancestral noise, after CFG++."""

    INPUTS: ClassVar[Inputs] = {"required": {"eta": _exact(1.0, 1.0), "s_noise": _exact(1.0, 10.0)}}
    sampler = "euler_ancestral_cfg_pp"


class SamplerDPMPP_2S_Ancestral(SamplerOptions):
    """DPM-Solver++ (2S) with ancestral noise."""

    INPUTS: ClassVar[Inputs] = {"required": _STOCHASTIC}
    sampler = "dpmpp_2s_ancestral"


class OnDevice(SamplerNode):
    """A sampler whose noise is drawn on the CPU (the same everywhere) or on the device that computes."""

    sampler: ClassVar[str] = ""

    def get_sampler(self, noise_device: str, **options: Any) -> tuple[Any]:
        """`noise_device` says where noise is drawn; the rest are options of the sampler."""
        return _named(self.sampler if noise_device == "cpu" else f"{self.sampler}_gpu", **options)


class SamplerDPMPP_3M_SDE(OnDevice):
    """DPM-Solver++ (3M) as a stochastic equation."""

    INPUTS: ClassVar[Inputs] = {"required": {**_STOCHASTIC, "noise_device": _WHERE}}
    sampler = "dpmpp_3m_sde"


class SamplerDPMPP_2M_SDE(OnDevice):
    """DPM-Solver++ (2M) as a stochastic equation."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"solver_type": choice("midpoint", "heun"), **_STOCHASTIC, "noise_device": _WHERE}
    }
    sampler = "dpmpp_2m_sde"


class SamplerDPMPP_SDE(OnDevice):
    """DPM-Solver++ as a stochastic equation, with a stage at the part `r` of each step."""

    INPUTS: ClassVar[Inputs] = {"required": {**_STOCHASTIC, "r": _exact(0.5), "noise_device": _WHERE}}
    sampler = "dpmpp_sde"


class SamplerLMS(SamplerOptions):
    """Linear multistep, over as many steps as `order`."""

    INPUTS: ClassVar[Inputs] = {"required": {"order": integer(4, 1, 100)}}
    sampler = "lms"


class SamplerDPMAdaptative(SamplerOptions):
    """DPM-Solver that chooses its own steps, by the errors that are allowed."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "order": integer(3, 2, 3),
            "rtol": _exact(0.05),
            "atol": _exact(0.0078),
            "h_init": _exact(0.05),
            "pcoeff": _exact(0.0),
            "icoeff": _exact(1.0),
            "dcoeff": _exact(0.0),
            "accept_safety": _exact(0.81),
            "eta": _exact(0.0),
            "s_noise": _exact(1.0),
        }
    }
    sampler = "dpm_adaptive"


class SamplerER_SDE(SamplerNode):
    """Extended reverse-time SDE, of up to three stages."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "solver_type": ("COMBO", {"options": ["ER-SDE", "Reverse-time SDE", "ODE"]}),
            "max_stage": integer(3, 1, 3),
            **_STOCHASTIC,
        }
    }

    def get_sampler(self, solver_type: str, max_stage: int, eta: float, s_noise: float) -> tuple[Any]:
        """`solver_type` says how noise grows; "ODE", and `eta` 0, mean none at all."""
        from noderack_diffusion.solvers_stochastic import er_scaler

        noise = s_noise if eta and solver_type != "ODE" else 0.0
        scaler = er_scaler(solver_type, eta)
        return _named("er_sde", s_noise=noise, noise_scaler=scaler, max_stage=max_stage)


class SamplerSASolver(SamplerNode):
    """Stochastic Adams, predictor and corrector, stochastic within a part of the way."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": MODEL,
            "eta": _exact(1.0, 10.0),
            "sde_start_percent": number(0.2, 0.0, 1.0, 0.001),
            "sde_end_percent": number(0.8, 0.0, 1.0, 0.001),
            "s_noise": _NOISE,
            "predictor_order": integer(3, 1, 6),
            "corrector_order": integer(4, 0, 6),
            "use_pece": ("BOOLEAN", {}),
            "simple_order_2": ("BOOLEAN", {}),
        }
    }

    def get_sampler(
        self, model: Any, eta: float, sde_start_percent: float, sde_end_percent: float, **options: Any
    ) -> tuple[Any]:
        """The percents are of the model's noise levels; `simple_order_2` takes the paper's plain weights."""
        from noderack_diffusion.solvers_stochastic import within

        percent = model.param.times.percent
        between = within(percent(sde_start_percent), percent(sde_end_percent), eta)
        return _named("sa_solver", tau_func=between, **options)


class SamplerEulerCFGpp(SamplerNode):
    """Euler after CFG++, or a variant of it."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {"required": {"version": combo("regular", "alternative")}}
    CATEGORY = "_for_testing"

    def get_sampler(self, version: str) -> tuple[Any]:
        """The alternative steps along the guided slope, bent by what guidance added."""
        from noderack_diffusion.patching.calls import k_sampler
        from noderack_diffusion.patching.sampler import KSAMPLER, ksampler
        from noderack_diffusion.solvers_slope import euler_bent

        return (KSAMPLER(k_sampler(euler_bent)) if version == "alternative" else ksampler("euler_cfg_pp"),)


class SamplerLCMUpscale(SamplerNode):
    """LCM that grows the latent on its way."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "scale_ratio": number(1.0, 0.1, 20.0),
            "scale_steps": integer(-1, -1, 1000, 1),
            "upscale_method": combo(*_UPSCALES),
        }
    }

    def get_sampler(self, scale_ratio: float, scale_steps: int, upscale_method: str) -> tuple[Any]:
        """In `scale_steps` steps of equal width up to `scale_ratio`; -1 takes half of the run's."""
        from functools import partial

        from noderack_diffusion.patching.calls import k_sampler
        from noderack_diffusion.patching.sampler import KSAMPLER
        from noderack_diffusion.solvers_stochastic import lcm_growing

        from noderack_nodes.resize import resize

        def fit(x: Tensor, width: int, height: int) -> Tensor:
            return resize(x, width, height, upscale_method)

        steps = None if scale_steps < 0 else scale_steps
        return (KSAMPLER(k_sampler(partial(lcm_growing, fit=fit, scale=scale_ratio, growing=steps))),)


class SamplerLCM(SamplerNode):
    """LCM, whose noise may grow weaker or stronger, and be kept from extremes."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "s_noise": number(1.0, 0.0, 64.0),
            "s_noise_end": number(1.0, 0.0, 64.0),
            "noise_clip_std": number(0.0, 0.0, 10.0),
        }
    }

    def get_sampler(self, s_noise: float, s_noise_end: float, noise_clip_std: float) -> tuple[Any]:
        """From `s_noise` at the first step to `s_noise_end` at the last; a clip of 0 keeps all."""
        return _named("lcm", noise_first=s_noise, noise_last=s_noise_end, within=noise_clip_std)


class SamplerSEEDS2(SamplerNode):
    """SEEDS of two stages; with `phi_2` and an `r` of 1 it is exponential Heun."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "solver_type": combo("phi_1", "phi_2"),
            **_STOCHASTIC,
            "r": number(0.5, 0.01, 1.0, round=False),
        }
    }

    def get_sampler(self, solver_type: str, eta: float, s_noise: float, r: float) -> tuple[Any]:
        """`r` is where in a step the second stage lies."""
        return _named("seeds_2", second=solver_type == "phi_2", eta=eta, s_noise=s_noise, r=r)


_NODES = (
    *(SamplerLCM, SamplerSEEDS2),
    *(SamplerEulerAncestral, SamplerEulerAncestralCFGPP, SamplerEulerCFGpp, SamplerLMS, SamplerLCMUpscale),
    *(SamplerDPMPP_2S_Ancestral, SamplerDPMPP_SDE, SamplerDPMPP_2M_SDE, SamplerDPMPP_3M_SDE),
    *(SamplerDPMAdaptative, SamplerER_SDE, SamplerSASolver),
)
NODES: Mappings = {node.__name__: node for node in _NODES}
NAMES = {
    "SamplerEulerAncestralCFGPP": "SamplerEulerAncestralCFG++",
    "SamplerEulerCFGpp": "SamplerEulerCFG++",
}
