"""Brownian noise against torchsde: the same bits."""

import itertools

import pytest
import torch
from noderack_diffusion.brownian import BrownianNoise
from noderack_diffusion.sigma import SCHEDULERS, schedule, standard

torchsde = pytest.importorskip("torchsde")
SEEDS = [0, 1, 42, 2**32, 2**63 + 7, 2**64 - 1]


def half(square: float) -> float:
    """A sigma between two others, as a number that fp32 holds."""
    return float(torch.tensor(square).sqrt())


@pytest.mark.parametrize("scheduler", ["karras", "normal", "exponential", "beta"])
@pytest.mark.parametrize("seed", SEEDS)
def test_same_bits(seed: int, scheduler: str) -> None:
    assert scheduler in SCHEDULERS
    sigmas = [s for s in schedule(standard(), scheduler, 9) if s > 0]
    like = torch.zeros(2, 4, 5, 3)
    tree = torchsde.BrownianTree(sigmas[-1], like, sigmas[0], entropy=seed)
    ours = BrownianNoise(like, sigmas[-1], sigmas[0], seed)
    stops = [x for a, b in itertools.pairwise(sigmas) for x in ((a, half(a * b)), (a, b))]
    for now, then in stops:
        want = -tree(torch.tensor(then), torch.tensor(now)) / (now - then) ** 0.5
        assert torch.equal(ours(now, then), want)


def test_an_interval_is_the_sum_of_its_parts_in_any_order() -> None:
    walk = BrownianNoise(torch.zeros(1000), 0.03, 14.6, 3)
    far = walk(14.6, 2.0) * (14.6 - 2.0) ** 0.5
    near = walk(2.0, 0.5) * 1.5**0.5
    assert torch.allclose(walk(14.6, 0.5) * 14.1**0.5, far + near, atol=1e-4)
    assert abs(float(near.std()) / 1.5**0.5 - 1) < 0.1
