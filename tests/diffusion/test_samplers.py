"""Every sampler's trajectory against the reference, over an analytic denoiser."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from noderack_diffusion.sampling import SAMPLERS
from noderack_diffusion.sampling_run import sample
from noderack_diffusion.sigma import Parametrisation, flow, standard
from noderack_diffusion.spec import LatentFormat
from torch import Tensor

from .conftest import Golden

SETTINGS = ["eps_karras10_cfg1", "eps_karras10_cfg4", "eps_karras10_img2img", "eps_normal6_mask"]
SETTINGS += ["flow3_simple10_cfg4"]
PARAMS = {"sd15_eps": standard(), "flow_shift3": Parametrisation("flow", flow(3.0))}


@dataclass
class Analytic:
    """A model whose clean latent is a formula; the context says which side is asked."""

    param: Parametrisation
    calls: list = field(default_factory=list)
    spec: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(family=SimpleNamespace(latent=LatentFormat(scale=1.0)))
    )
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def predict(self, x: Tensor, sigma: Tensor, context: Tensor) -> Tensor:
        self.calls.append([float(sigma[0]), x.shape[0]])
        side, s = context[:, :1, :1, None], sigma[:, None, None, None]
        return x / (1 + s**2) + 0.1 * x.tanh() + 0.05 * side * (x + 0.5).sin()

    def extras(self, entry: dict, latent: Tensor, *, positive: bool, mask: object = None) -> dict:
        return {}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_trajectory(name: str, setting: str, golden: Golden) -> None:
    case = golden.index["samplers"].get(f"{setting}/{name}")
    if case is None or not case["finite"]:
        pytest.skip("the reference has no such case, or it is not finite there")
    inputs = golden.index["samplers"]["inputs"]
    recipe = golden.tensor(inputs["latent_recipe"])
    model = Analytic(PARAMS[case["model_sampling"]])
    one = torch.ones(1, 1, 1)
    out = sample(
        model,
        latent=torch.zeros_like(recipe) if case["latent"] == "zeros" else recipe,
        positive=[[one, {}]],
        negative=[[-one, {}]],
        cfg=case["cfg"],
        sampler=name,
        scheduler=case["scheduler"],
        steps=case["steps"],
        denoise=case["denoise"],
        seed=case["seed"],
        noise_mask=golden.tensor(inputs["mask"]) if case.get("mask") else None,
    )
    want = golden.tensor(case["out"])
    tolerance = 1e-4 if name in ("dpm_adaptive", "uni_pc", "uni_pc_bh2", "deis") else 1e-5
    assert float((out - want).abs().max()) <= tolerance * max(1.0, float(want.abs().max()))
    assert len(model.calls) == len(case["model_calls"])


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_are_finite(name: str, steps: int) -> None:
    one = torch.ones(1, 1, 1)
    settings = {"cfg": 2.0, "scheduler": "normal", "steps": steps, "seed": 3, "sampler": name}
    for param in PARAMS.values():
        out = sample(
            Analytic(param),
            latent=torch.zeros(1, 4, 4, 4),
            positive=[[one, {}]],
            negative=[[-one, {}]],
            **settings,
        )
        assert out.isfinite().all() and out.abs().max() < 100
