"""Samplers against the schedulers of diffusers whose mathematics is the same, over the same noise levels.

The network here sees its scaled input alone, so that both ask it the same. Those of diffusers that keep
latents of constant variance ("vp") are compared after scaling.
"""

import math
from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
from noderack_diffusion.noise import Noise
from noderack_diffusion.sampling import SAMPLERS, Task
from noderack_diffusion.sigma import karras, standard
from torch import Tensor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
SEED, STEPS = 5, 9
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def noise_in(given: Tensor) -> Tensor:
    """What the network takes for noise in its input."""
    return given.tanh() * 0.9 + 0.1 * (2.0 * given).cos()


def clean(x: Tensor, sigma: float) -> Tensor:
    return x - sigma * noise_in(x / (1.0 + sigma**2) ** 0.5)


def ours(name: str, sigmas: list[float], x: Tensor) -> Tensor:
    return SAMPLERS[name](Task(clean, Noise(SEED), standard()), x, sigmas)


def start() -> Tensor:
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def walked(scheduler: Any, x: Tensor, **more: Callable[[int], Any] | Any) -> Tensor:
    for i, t in enumerate(scheduler.timesteps):
        given = scheduler.scale_model_input(x, t)
        told = {key: value(i) if callable(value) else value for key, value in more.items()}
        x = scheduler.step(noise_in(given), t, x, **told).prev_sample
    return x


def close(got: Tensor, want: Tensor, tolerance: float = 1e-4) -> bool:
    return float((got - want).abs().max()) <= tolerance * max(1.0, float(want.abs().max()))


@pytest.mark.parametrize(
    ("name", "scheduler", "how"),
    [
        ("euler", "EulerDiscreteScheduler", {}),
        ("heun", "HeunDiscreteScheduler", {}),
        ("lms", "LMSDiscreteScheduler", {}),
        ("euler_ancestral", "EulerAncestralDiscreteScheduler", {"seeded": True}),
        ("dpm_2", "KDPM2DiscreteScheduler", {}),
        ("dpm_2_ancestral", "KDPM2AncestralDiscreteScheduler", {"seeded": True}),
        ("dpmpp_sde", "DPMSolverSDEScheduler", {"noise_sampler_seed": SEED}),
    ],
)
def test_with_latents_whose_noise_grows(name: str, scheduler: str, how: dict[str, Any]) -> None:
    seeded = how.pop("seeded", False) if how else False
    made = getattr(diffusers, scheduler)(**BETAS, **how)
    if "use_karras_sigmas" in made.config:
        made.register_to_config(use_karras_sigmas=True)
    made.set_timesteps(STEPS)
    sigmas = [float(s) for s in made.sigmas]
    levels = [s for i, s in enumerate(sigmas) if i == 0 or s != sigmas[i - 1]]
    if len(levels) != STEPS + 1:  # with levels between, of solvers with two stages
        levels = [*karras(levels[-2], levels[0], STEPS)]
    x = start() * levels[0]
    told = {"generator": torch.Generator().manual_seed(SEED)} if seeded else {}
    assert close(ours(name, levels, x), walked(made, x, **told))


def size(sigma: float) -> float:
    """How much larger a latent is whose noise grows than one of constant variance."""
    return math.sqrt(1.0 + sigma**2)


@pytest.mark.parametrize("steps", [3, 9])
def test_dpm_solvers_with_latents_of_constant_variance(steps: int) -> None:
    made = diffusers.DPMSolverMultistepScheduler(**BETAS, use_karras_sigmas=True, final_sigmas_type="zero")
    made.set_timesteps(steps)
    levels = [float(s) for s in made.sigmas]
    want = walked(made, start())
    assert close(ours("dpmpp_2m", levels, start() * size(levels[0])), want)


def test_stochastic_dpm_solver_given_our_noise() -> None:
    kind = {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True, "final_sigmas_type": "zero"}
    made = diffusers.DPMSolverMultistepScheduler(**BETAS, **kind)
    made.set_timesteps(STEPS)
    levels = [float(s) for s in made.sigmas]
    x = start() * size(levels[0])
    drawn = Task(clean, Noise(SEED), standard()).brownian(x, levels, on_cpu=True)

    def noise(i: int) -> Tensor:
        return drawn(levels[i], levels[i + 1]) if levels[i + 1] else torch.zeros_like(x)

    assert close(ours("dpmpp_2m_sde", levels, x), walked(made, start(), variance_noise=noise))


def test_ddim_over_its_own_times() -> None:
    made = diffusers.DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=True)
    made.set_timesteps(STEPS)
    kept = [float(made.alphas_cumprod[t]) for t in made.timesteps]
    levels = [*(math.sqrt((1 - a) / a) for a in kept), 0.0]
    assert close(ours("ddim", levels, start() * size(levels[0])), walked(made, start()))


def test_ddpm_over_every_time() -> None:
    made = diffusers.DDPMScheduler(**BETAS, clip_sample=False, num_train_timesteps=40)
    made.set_timesteps(40)
    levels = [*(math.sqrt((1 - float(a)) / float(a)) for a in made.alphas_cumprod.flip(0)), 0.0]
    generator = torch.Generator().manual_seed(SEED)
    assert close(ours("ddpm", levels, start() * size(levels[0])), walked(made, start(), generator=generator))
