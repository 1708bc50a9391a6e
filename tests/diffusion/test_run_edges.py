"""The edges of a run: what is empty, cut, too large or of another model works, or is told in a sentence."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_diffusion.checkpoint import Checkpoint, load_checkpoint
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.sampling_run import sample
from torch import Tensor

TINY = Path(__file__).parents[2] / "plugins/tiny/models/noderack-shapes.safetensors"


@pytest.fixture(scope="module")
def tiny() -> Checkpoint:
    return load_checkpoint(TINY, device="cpu", dtype=torch.float32)


def run(tiny: Checkpoint, **other: Any) -> Tensor:
    assert tiny.clip is not None
    text, none = tiny.clip.encode("a red circle")[0], tiny.clip.encode("")[0]
    settings: dict[str, Any] = {
        "latent": torch.zeros(1, 4, 8, 8),
        "positive": [[text, other.pop("entry", {})]],
        "negative": [[none, {}]],
        "cfg": 4.0,
        "sampler": "euler",
        "scheduler": "normal",
        "steps": 2,
        "seed": 1,
    }
    return sample(tiny.model, **{**settings, **other})


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0},
        {"denoise": 0.0},
        {"start": 5, "end": 2},
        {"start": 1, "end": 1},
        {"start": 9},
        {"start": 2, "steps": 2},
    ],
)
def test_a_run_of_no_steps_changes_nothing(settings: dict[str, Any], tiny: Checkpoint) -> None:
    latent = torch.randn(1, 4, 8, 8)
    assert run(tiny, latent=latent, **settings).equal(latent)


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 1},
        {"steps": 1, "scheduler": "kl_optimal"},
        {"steps": 2, "denoise": 0.05, "scheduler": "ddim_uniform"},
        {"end": 99},
        {"cfg": 1e6},
        {"cfg": 0.0},
        {"cfg": 1.0, "negative": []},
        {"seed": 2**64 - 1},
        {"latent": torch.zeros(2, 4, 7, 9)},
        {"latent": torch.zeros(1, 4, 1, 1)},
        {"latent": torch.zeros(1, 4, 8, 8, dtype=torch.int64)},
        {"latent": torch.zeros(3, 4, 8, 8), "batch_index": [5, 5, 0]},
        {"noise_mask": torch.ones(64, 64)},
        {"noise_mask": torch.ones(2, 1, 3, 5)},
        {"entry": {"mask": torch.zeros(1, 64, 64)}},
        {"entry": {"strength": 0.0}},
        {"entry": {"start_percent": 0.9, "end_percent": 0.1}},
        {"entry": {"area": (4, 4, 0, 0)}},
        {"entry": {"area": (99, 99, 6, 6)}},
    ],
)
def test_what_is_odd_still_draws(settings: dict[str, Any], tiny: Checkpoint) -> None:
    assert run(tiny, **settings).isfinite().all()


def test_the_same_place_in_a_batch_gets_the_same_noise(tiny: Checkpoint) -> None:
    three = run(tiny, latent=torch.zeros(3, 4, 8, 8), batch_index=[5, 5, 0])
    assert torch.allclose(three[0], three[1], atol=1e-2) and not torch.allclose(three[0], three[2], atol=0.1)
    assert torch.allclose(three[2:], run(tiny), rtol=1e-3, atol=1e-2)


def test_an_empty_latent_of_another_model_becomes_one_of_this(tiny: Checkpoint) -> None:
    assert run(tiny, latent=torch.zeros(1, 16, 8, 8)).equal(run(tiny))


def test_without_guidance_the_other_prompt_is_never_asked(tiny: Checkpoint) -> None:
    other = [[torch.full((1, 77, 48), math.nan), {}]]
    assert run(tiny, cfg=1.0, negative=other).equal(run(tiny, cfg=1.0))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"denoise": math.nan}, "denoise nan"),
        ({"denoise": 1e-9}, "take a larger denoise"),
        ({"latent": torch.ones(1, 16, 8, 8)}, "has 16 channels, Stable Diffusion 1 .*another model"),
        ({"latent": torch.zeros(4, 8, 8)}, "one of a picture is"),
        ({"latent": torch.zeros(1, 4, 0, 8)}, "holds nothing"),
        ({"latent": torch.zeros(0, 4, 8, 8)}, "holds nothing"),
        ({"batch_index": [-1]}, "the first is 0"),
        ({"batch_index": [1, 2]}, "names 2 images"),
        ({"positive": []}, "positive conditioning is empty"),
        ({"positive": [[torch.zeros(1, 0, 48), {}]]}, "holds no token"),
        ({"positive": [[torch.zeros(1, 77, 768), {}]]}, "768 wide"),
        ({"entry": {"area": (4, 4, 100, 100)}}, "does not begin in the picture"),
        ({"entry": {"area": (4, 4, -2, 0)}}, "does not begin in the picture"),
        ({"entry": {"area": (0, 0, 0, 0)}}, "area of 0 x 0 pixels"),
    ],
)
def test_what_cannot_be_run_is_told(settings: dict[str, Any], says: str, tiny: Checkpoint) -> None:
    with pytest.raises(MismatchError, match=says):
        run(tiny, **settings)
