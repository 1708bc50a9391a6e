"""Schedules from numbers and tables, and the tools over them, against the reference host's own figures.

tests/cases/diffusion/schedules.json holds what ComfyUI computes for the calls below.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_diffusion.distilled import distilled
from noderack_diffusion.errors import UnknownNameError
from noderack_diffusion.sigma import Parametrisation, continuous_angle, schedule, standard
from noderack_diffusion.spacing import (
    align_your_steps,
    gits,
    laplace,
    polyexponential,
    turbo,
    variance_preserving,
)
from noderack_nodes import NODE_CLASS_MAPPINGS
from torch.testing import assert_close

REFERENCE: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "cases/diffusion/schedules.json").read_text(encoding="utf-8")
)
LOW, HIGH = 0.0291675, 14.614642


def same(found: Any, name: str) -> None:
    assert_close(torch.tensor(found), torch.tensor(REFERENCE[name]), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", [name for name in REFERENCE if name.startswith("gits")])
def test_gits(name: str) -> None:
    _, coefficient, steps, denoise = name.split()
    same(gits(float(coefficient), int(steps), float(denoise)), name)
    node = NODE_CLASS_MAPPINGS["GITSScheduler"]()
    same(node.get_sigmas(float(coefficient), int(steps), float(denoise))[0].tolist(), name)  # type: ignore[attr-defined]


def test_gits_knows_its_coefficients() -> None:
    assert gits(1.2, 5, 0.0) == []
    assert all(len(gits(c, n)) == n + 1 for c in (0.8, 1.15, 1.5) for n in (2, 3, 19, 20, 21))
    with pytest.raises(UnknownNameError, match="coefficient"):
        gits(2.0, 5)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("poly", lambda: polyexponential(LOW, HIGH, 7, 1.3)),
        ("laplace", lambda: laplace(LOW, HIGH, 9, 0.1, 0.6)),
        ("vp", lambda: variance_preserving(6)),
    ],
)
def test_from_numbers(name: str, made: Callable[[], list[float]]) -> None:
    same(made(), name)


@pytest.mark.parametrize("name", [name for name in REFERENCE if name.startswith("ays")])
def test_published_steps(name: str) -> None:
    _, model, steps, denoise = name.split()
    same(align_your_steps(model, int(steps), float(denoise)), name)


def test_a_table_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"SD3.*known are: SD1, SDXL, SVD"):
        align_your_steps("SD3", 10)


def test_turbo() -> None:
    for call, wanted in REFERENCE["turbo"].items():
        steps, denoise = call.split()
        assert turbo(standard(), int(steps), float(denoise)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", ["normal", "simple", "sgm_uniform", "karras"])
def test_latent_consistency(name: str) -> None:
    same(schedule(distilled(), name, 5), f"lcm {name}")


def test_latent_consistency_answers() -> None:
    x = torch.arange(8.0).view(2, 1, 2, 2) / 3
    clean = distilled().clean(x, x.flip(0) * 0.7, torch.tensor([14.6, 1.2]))
    same(clean.flatten().tolist(), "lcm clean")
    assert [distilled().times.percent(p) for p in (0.0, 0.2, 0.77, 1.0)] == pytest.approx(
        REFERENCE["lcm percent"], rel=1e-5
    )


@pytest.mark.parametrize("name", ["normal", "simple", "sgm_uniform"])
def test_continuous_angle(name: str) -> None:
    same(schedule(Parametrisation("v", continuous_angle()), name, 5), f"cv {name}")


def call(node: str, *args: Any) -> list[list[float]]:
    made = NODE_CLASS_MAPPINGS[node]()
    return [out.tolist() for out in getattr(made, made.FUNCTION)(*args)]


@pytest.fixture
def sigmas() -> torch.Tensor:
    from noderack_diffusion.sigma import karras

    return torch.tensor(karras(0.03, 14.6, 6))


@pytest.mark.parametrize("curve", ["linear", "cosine", "sine"])
def test_more_steps_in_a_range(sigmas: torch.Tensor, curve: str) -> None:
    same(call("ExtendIntermediateSigmas", sigmas, 3, 9.0, 0.5, curve), f"ext {curve}")
    same(call("ExtendIntermediateSigmas", sigmas, 2, -1.0, 0.0, "linear"), "ext all")


@pytest.mark.parametrize("name", [name for name in REFERENCE if name.startswith("split")])
def test_cut_in_two(sigmas: torch.Tensor, name: str) -> None:
    kind, value = name.split()
    node, number = ("SplitSigmas", int(value)) if kind == "split" else ("SplitSigmasDenoise", float(value))
    for found, wanted in zip(call(node, sigmas, number), REFERENCE[name], strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)


def test_turned_round(sigmas: torch.Tensor) -> None:
    same(call("FlipSigmas", sigmas), "flip")
    assert call("FlipSigmas", torch.tensor([])) == [[]]
    assert call("SetFirstSigma", sigmas, 136.0)[0][0] == 136.0 and sigmas[0] != 136.0
