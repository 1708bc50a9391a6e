"""Noise levels against the reference: tables, times, percents, and all schedules at many lengths."""

import itertools
import math

import pytest
from noderack_diffusion import sigma
from noderack_diffusion.errors import UnknownNameError

PARAMETRISATIONS = {
    "sd15_eps": sigma.standard(),
    "sdxl_eps": sigma.standard(),
    "sd15_v": sigma.standard("v"),
    "sd15_v_zsnr": sigma.standard("v", zero_snr=True),
    "flow_shift3": sigma.Parametrisation("flow", sigma.flow(3.0)),
    "flow_shift1": sigma.Parametrisation("flow", sigma.flow(1.0)),
    "flux_1.15": sigma.Parametrisation("flow", sigma.flux(1.15)),
    "edm": sigma.Parametrisation("edm", sigma.continuous_edm(), 0.5),
}


def close(a: float, b: float, rel: float = 2e-6) -> bool:
    return math.isclose(a, b, rel_tol=rel, abs_tol=1e-6)


@pytest.mark.parametrize("name", PARAMETRISATIONS)
def test_tables_times_and_percents(name: str, golden) -> None:
    import torch

    p, case = PARAMETRISATIONS[name], golden.index["sigmas"][f"table/{name}"]
    table = golden.tensor(case["table"])
    assert torch.allclose(p.times.table[:: case["table_stride"]], table, rtol=2e-6)
    assert (p.sigma_min, p.sigma_max) == pytest.approx((case["sigma_min"], case["sigma_max"]), rel=2e-6)
    for t, s in case["sigma_of_timestep"]:
        assert close(float(p.times.sigma(torch.tensor(t))), s)
    for s, t in case["timestep_of_sigma"]:
        assert close(float(p.times.time(torch.tensor([s]))[0]), t)
    for percent, s in case["sigma_of_percent"]:
        assert close(p.times.percent(percent), s)


@pytest.mark.parametrize("scheduler", sigma.SCHEDULERS)
def test_schedules(scheduler: str, golden) -> None:
    wrong = []
    for key, case in golden.index["sigmas"].items():
        if case.get("scheduler") != scheduler or case["nan"]:
            continue
        p = PARAMETRISATIONS[case["model_sampling"]]
        got = sigma.schedule(p, scheduler, case["steps"], case["denoise"], case["sampler_name"])
        if len(got) != len(case["sigmas"]) or not all(map(close, got, case["sigmas"])):
            wrong.append((key, got[:4], case["sigmas"][:4]))
    assert not wrong


@pytest.mark.parametrize("n", [1, 2, 3, 20, 60])
@pytest.mark.parametrize("scheduler", sigma.SCHEDULERS)
def test_schedules_fall_to_zero_without_nan(scheduler: str, n: int) -> None:
    got = sigma.schedule(sigma.standard(), scheduler, n)
    assert got[-1] == 0.0
    assert all(a >= b for a, b in itertools.pairwise(got))


def test_unknown_names_are_errors_that_list_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown scheduler 'karas'.*karras"):
        sigma.schedule(sigma.standard(), "karas", 20)


def test_no_denoising_is_no_steps() -> None:
    assert sigma.schedule(sigma.standard(), "normal", 20, denoise=0.0) == []
