"""Weights that change from frame to frame."""

import math
from typing import Any

import pytest
import torch
from noderack_ipadapter import NODE_CLASS_MAPPINGS
from noderack_ipadapter.apply import Wish
from noderack_ipadapter.attend import SCALINGS, Picture
from noderack_ipadapter.files import IPAdapterError
from noderack_ipadapter.timing_nodes import METHODS, weights_of
from noderack_ipadapter.weighing import Strength

TOLD: dict[str, Any] = {
    **{"weights": "0.0, 1.0", "timing": "linear", "frames": 5, "start_frame": 0, "end_frame": 9999},
    **{"add_starting_frames": 0, "add_ending_frames": 0, "method": "full batch"},
}


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({}, [0, 0.25, 0.5, 0.75, 1]),
        ({"timing": "ease_in"}, [math.sin(at * math.pi / 8) for at in range(5)]),
        ({"start_frame": 2, "end_frame": 4}, [0, 0, 0, 1, 1]),
        ({"timing": "custom", "weights": "1, 0.5\n0.2"}, [1, 0.5, 0.2]),
        ({"timing": "custom", "weights": ""}, [0]),
        ({"weights": "", "frames": 0}, [0, 1]),
    ],
)
def test_weights(told: dict[str, Any], found: list[float]) -> None:
    assert weights_of({**TOLD, **told}) == pytest.approx(found)


def test_no_weights() -> None:
    with pytest.raises(IPAdapterError, match="no list of weights"):
        weights_of({**TOLD, "weights": "1, x"})


@pytest.mark.parametrize(("method", "frames"), list(zip(METHODS, (20, 15, 15), strict=True)))
def test_pictures(method: str, frames: int) -> None:
    image = torch.arange(4.0).view(4, 1, 1, 1)
    told = {**TOLD, "method": method, "add_starting_frames": 2, "add_ending_frames": 1}
    weights, back, count, one, two, strategy = NODE_CLASS_MAPPINGS["IPAdapterWeights"]().weights(
        image, **told
    )
    assert count == len(weights) == len(one) == frames + 3 and back == weights[::-1]
    assert two is None if method == "full batch" else len(two) == count
    again = NODE_CLASS_MAPPINGS["IPAdapterWeightsFromStrategy"]().weights(image, weights_strategy=strategy)
    assert again[0] == weights
    schedule = NODE_CLASS_MAPPINGS["IPAdapterPromptScheduleFromWeightsStrategy"]()
    (text,) = schedule.prompt_schedule(strategy, "a\nb")
    assert text.split(",\n")[:3] == ['"0": "a"', '"2": "a"', '"7": "b"']


@pytest.mark.parametrize("scaling", list(SCALINGS))
def test_a_weight_for_each_picture(scaling: str) -> None:
    torch.manual_seed(1)
    tokens, q = torch.randn(1, 4, 8), torch.randn(2, 6, 16)
    told = {"cond_or_uncond": [0], "sigmas": torch.ones(1), "n_heads": 2}

    def added(frames: Any, strength: float) -> torch.Tensor:
        k, v = (torch.randn(16, 8, generator=torch.Generator().manual_seed(at)) for at in (2, 3))
        picture = Picture(tokens, tokens, k, v, Strength(strength), scaling=scaling, frames=frames)
        found = picture.on(q, told)
        assert found is not None
        return found

    both = added(torch.tensor([1.0, 0.5])[:, None, None], 0.8)
    assert torch.allclose(both[0], added(None, 0.8)[0], atol=1e-6)
    assert torch.allclose(both[1], added(None, 0.4)[1], atol=1e-6)


def test_two_kinds_of_weights_at_once() -> None:
    from noderack_ipadapter.apply import _frames

    assert Wish([1.0, 0.5]).weight == [1.0, 0.5]
    with pytest.raises(IPAdapterError, match="takes one weight"):
        _frames([1.0, 0.5], "style and composition")
