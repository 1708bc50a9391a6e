"""Samplers: ways down the noise levels from noise to picture.

A sampler is a function of (task, x, sigmas) -> x. ``task.denoise(x, sigma)`` answers with the clean latent
that the model sees in ``x``; no sampler asks what the network predicts. A new sampler is a function and a row
below. Those that follow the slope dx/dsigma are here and in ``solvers_slope``; those that step in half
log-SNR in ``solvers_exponential`` and ``solvers_stochastic``; UniPC stands alone.
"""

from collections.abc import Mapping
from functools import partial

from noderack_diffusion import solvers_exponential as exponential
from noderack_diffusion import solvers_slope as slopes
from noderack_diffusion import solvers_stochastic as stochastic
from noderack_diffusion.errors import UnknownNameError
from noderack_diffusion.task import OnStep, Sampler, Task
from noderack_diffusion.unipc import uni_pc

__all__ = ["FRESH_MASK_NOISE", "SAMPLERS", "OnStep", "Sampler", "Task", "sampler"]

SAMPLERS: Mapping[str, Sampler] = {
    "euler": slopes.euler,
    "euler_cfg_pp": partial(slopes.euler_ancestral_cfg_pp, eta=0.0),
    "euler_ancestral": slopes.euler_ancestral,
    "euler_ancestral_cfg_pp": slopes.euler_ancestral_cfg_pp,
    "heun": slopes.heun,
    "heunpp2": slopes.heunpp2,
    "exp_heun_2_x0": partial(stochastic.seeds_2, eta=0.0, r=1.0, second=True),
    "exp_heun_2_x0_sde": partial(stochastic.seeds_2, r=1.0, second=True),
    "dpm_2": slopes.dpm_2,
    "dpm_2_ancestral": slopes.dpm_2_ancestral,
    "lms": slopes.lms,
    "dpm_fast": exponential.dpm_fast,
    "dpm_adaptive": exponential.dpm_adaptive,
    "dpmpp_2s_ancestral": exponential.dpmpp_2s_ancestral,
    "dpmpp_2s_ancestral_cfg_pp": exponential.dpmpp_2s_ancestral_cfg_pp,
    "dpmpp_sde": stochastic.dpmpp_sde,
    "dpmpp_sde_gpu": partial(stochastic.dpmpp_sde, on_cpu=False),
    "dpmpp_2m": exponential.dpmpp_2m,
    "dpmpp_2m_cfg_pp": exponential.dpmpp_2m_cfg_pp,
    "dpmpp_2m_sde": stochastic.dpmpp_2m_sde,
    "dpmpp_2m_sde_gpu": partial(stochastic.dpmpp_2m_sde, on_cpu=False),
    "dpmpp_2m_sde_heun": partial(stochastic.dpmpp_2m_sde, heun=True),
    "dpmpp_2m_sde_heun_gpu": partial(stochastic.dpmpp_2m_sde, heun=True, on_cpu=False),
    "dpmpp_3m_sde": stochastic.dpmpp_3m_sde,
    "dpmpp_3m_sde_gpu": partial(stochastic.dpmpp_3m_sde, on_cpu=False),
    "ddpm": stochastic.ddpm,
    "lcm": stochastic.lcm,
    "ipndm": slopes.ipndm,
    "ipndm_v": slopes.ipndm_v,
    "deis": slopes.deis,
    "res_multistep": partial(exponential.res_multistep, eta=0.0),
    "res_multistep_cfg_pp": partial(exponential.res_multistep, eta=0.0, cfg_pp=True),
    "res_multistep_ancestral": exponential.res_multistep,
    "res_multistep_ancestral_cfg_pp": partial(exponential.res_multistep, cfg_pp=True),
    "gradient_estimation": slopes.gradient_estimation,
    "gradient_estimation_cfg_pp": partial(slopes.gradient_estimation, cfg_pp=True),
    "er_sde": stochastic.er_sde,
    "seeds_2": stochastic.seeds_2,
    "seeds_3": stochastic.seeds_3,
    "sa_solver": stochastic.sa_solver,
    "sa_solver_pece": partial(stochastic.sa_solver, pece=True),
    "ddim": slopes.euler,
    "uni_pc": uni_pc,
    "uni_pc_bh2": partial(uni_pc, second=True),
}
"""Samplers by the names that workflows use."""

FRESH_MASK_NOISE = frozenset({"ddim"})
"""Samplers under which the masked-out part is noised afresh instead of with the initial noise."""


def sampler(name: str) -> Sampler:
    """The sampler of that name; raises UnknownNameError."""
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, tuple(SAMPLERS))
    return SAMPLERS[name]
