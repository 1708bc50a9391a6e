"""Samplers whose options are sockets: the trajectories that the reference host (0.33.0) walks with them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from noderack_diffusion.patching.calls import k_sampler
from noderack_diffusion.patching.measure import seen
from noderack_diffusion.sigma import karras, standard
from noderack_nodes import NODE_CLASS_MAPPINGS
from torch import Tensor

CASES = json.loads(
    (Path(__file__).parents[1] / "cases/diffusion/sampler_options.json").read_text(encoding="utf-8")
)
CHURN = json.loads((Path(__file__).parents[1] / "cases/diffusion/churn.json").read_text(encoding="utf-8"))
SIGMAS = torch.tensor(karras(0.03, 14.6, 8))
DEFAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "SamplerEulerAncestral": ("euler_ancestral", {"eta": 1.0, "s_noise": 1.0}),
    "SamplerDPMPP_2S_Ancestral": ("dpmpp_2s_ancestral", {"eta": 1.0, "s_noise": 1.0}),
    "SamplerLMS": ("lms", {"order": 4}),
    "SamplerER_SDE": ("er_sde", {"solver_type": "ER-SDE", "max_stage": 3, "eta": 1.0, "s_noise": 1.0}),
    "SamplerSASolver": (
        "sa_solver",
        {
            **{"eta": 1.0, "sde_start_percent": 0.2, "sde_end_percent": 0.8, "s_noise": 1.0},
            **{"predictor_order": 3, "corrector_order": 4, "use_pece": False, "simple_order_2": False},
        },
    ),
}


def model(x: Tensor, sigma: Tensor, **given: Any) -> Tensor:
    """A clean latent by a formula; functions after guidance are told of one without a prompt too."""
    clean = x / (1 + sigma.view(-1, 1, 1, 1) ** 2) + 0.1 * x.tanh() + 0.05 * (x + 0.5).sin()
    for after in given.get("model_options", {}).get("sampler_post_cfg_function", ()):
        after({"denoised": clean, "uncond_denoised": clean - 0.1 * x.cos()})
    return clean


class Wrapped:
    inner_model = SimpleNamespace(model_sampling=seen(standard()))
    __call__ = staticmethod(model)


def walk(sampler: Any, seed: int) -> Tensor:
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5)) * 14.6
    out: Tensor = sampler.sampler_function(
        Wrapped(), x, SIGMAS, extra_args={"seed": seed}, **sampler.extra_options
    )
    return out


@pytest.mark.parametrize("name", CASES)
def test_options(name: str) -> None:
    case = CASES[name]
    (sampler,) = NODE_CLASS_MAPPINGS[case["node"]]().get_sampler(**case["inputs"])  # type: ignore[attr-defined]
    out, want = walk(sampler, case["seed"]), torch.tensor(case["values"])
    assert list(out.shape) == case["shape"]
    assert torch.allclose(out.flatten()[:: out.numel() // 8][:8], want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_the_plain_sampler(name: str) -> None:
    plain, inputs = DEFAULTS[name]
    if name == "SamplerSASolver":
        inputs = {**inputs, "model": SimpleNamespace(param=standard())}
    (ours,) = NODE_CLASS_MAPPINGS[name]().get_sampler(**inputs)  # type: ignore[attr-defined]
    (theirs,) = NODE_CLASS_MAPPINGS["KSamplerSelect"]().get_sampler(plain)  # type: ignore[attr-defined]
    assert walk(ours, 3).equal(walk(theirs, 3))


@pytest.mark.parametrize("name", CHURN)
def test_noise_that_is_stirred_in_on_the_way(name: str) -> None:
    case = CHURN[name]
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5)) * 14.6
    out = k_sampler(name)(Wrapped(), x, SIGMAS, extra_args={"seed": case["seed"]}, **case["options"])
    assert torch.allclose(out.flatten()[::32], torch.tensor(case["values"]), rtol=1e-5, atol=1e-5)


def test_noise_of_strength_zero_is_none() -> None:
    (quiet,) = NODE_CLASS_MAPPINGS["SamplerEulerAncestral"]().get_sampler(eta=1.0, s_noise=0.0)  # type: ignore[attr-defined]
    assert walk(quiet, 1).equal(walk(quiet, 2))
