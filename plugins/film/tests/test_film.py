"""What the film nodes promise: neutral is untouched, a seed means the same grain, each knob goes its way."""

from typing import Any

import pytest
import torch
from noderack_film import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from noderack_film.grade import blur, luma_of
from noderack_film.grain import grain_field, tone_weight

IMAGE = torch.rand((2, 24, 32, 3), generator=torch.Generator().manual_seed(7))
GREY = torch.full((1, 64, 64, 3), 0.5)


def run(node: str, image: torch.Tensor = IMAGE, **changes: Any) -> torch.Tensor:
    cls = NODE_CLASS_MAPPINGS[node]
    sections = cls.INPUT_TYPES()
    values = {
        name: spec[1]["default"] for name, spec in sections["required"].items() if "default" in (*spec, {})[1]
    }
    result: torch.Tensor = getattr(cls(), cls.FUNCTION)(image=image, **{**values, **changes})[0]
    return result


NEUTRAL = [
    ("NoderackFilmGrain", {"amount": 0.0}),
    ("NoderackColourGrade", {}),
    ("NoderackSplitTone", {"shadow_strength": 0.0, "highlight_strength": 0.0}),
    ("NoderackHalation", {"amount": 0.0}),
    ("NoderackVignette", {"amount": 0.0}),
]


@pytest.mark.parametrize(("node", "settings"), NEUTRAL)
def test_neutral_settings_change_no_bit(node: str, settings: dict[str, float]) -> None:
    assert torch.equal(run(node, **settings), IMAGE)


@pytest.mark.parametrize("node", NODE_CLASS_MAPPINGS)
def test_result_is_a_picture_and_alpha_passes_through(node: str) -> None:
    alpha = torch.cat([IMAGE, torch.full((2, 24, 32, 1), 0.3)], dim=-1)
    changes = {"exposure": 1.0} if node == "NoderackColourGrade" else {}
    result = run(node, alpha, **changes)
    assert result.shape == alpha.shape and torch.equal(result[..., 3], alpha[..., 3])
    assert result.min() >= 0 and result.max() <= 1 and not torch.equal(result, alpha)


@pytest.mark.parametrize("node", NODE_CLASS_MAPPINGS)
def test_every_slider_has_a_range_and_a_tooltip(node: str) -> None:
    assert node in NODE_DISPLAY_NAME_MAPPINGS and NODE_CLASS_MAPPINGS[node].DESCRIPTION
    for spec in NODE_CLASS_MAPPINGS[node].INPUT_TYPES()["required"].values():
        if spec[0] == "FLOAT":
            options = spec[1]
            assert options["min"] <= options["default"] <= options["max"] and options["tooltip"]


def test_grain_follows_its_seed() -> None:
    assert torch.equal(run("NoderackFilmGrain", seed=5), run("NoderackFilmGrain", seed=5))
    assert not torch.equal(run("NoderackFilmGrain", seed=5), run("NoderackFilmGrain", seed=6))
    same = IMAGE[:1].repeat(2, 1, 1, 1)
    first, second = run("NoderackFilmGrain", same, seed=5)
    assert not torch.equal(first, second), "pictures of a batch must not share their grain"


@pytest.mark.parametrize("colour", [0.0, 0.5, 1.0])
def test_grain_strength_does_not_depend_on_colour(colour: float) -> None:
    change = run("NoderackFilmGrain", GREY, amount=0.2, size=1.0, colour=colour) - GREY
    assert change.std().item() == pytest.approx(0.05, rel=0.06)
    assert abs(change.mean().item()) < 0.002


def test_mono_grain_has_no_colour() -> None:
    change = run("NoderackFilmGrain", GREY, colour=0.0) - GREY
    assert (change[..., 0] - change[..., 2]).abs().max() < 1e-6


@pytest.mark.parametrize("size", [2.0, 4.0, 8.0])
def test_larger_grains_are_alike_over_longer_distances(size: float) -> None:
    def neighbours(field: torch.Tensor) -> float:
        return float((field[..., 1:] * field[..., :-1]).mean())

    fine = grain_field(128, 128, size=1.0, channels=1, seed=3)
    coarse = grain_field(128, 128, size=size, channels=1, seed=3)
    assert abs(neighbours(fine)) < 0.05
    assert neighbours(coarse) > 0.5
    assert coarse.std().item() == pytest.approx(1.0, abs=1e-3)


def test_tone_weight_is_one_in_the_middle() -> None:
    weights = tone_weight(torch.tensor([0.0, 0.5, 1.0]), shadows=0.4, highlights=0.2)
    assert weights.tolist() == pytest.approx([0.4, 1.0, 0.2])


def test_grading_knobs_go_their_way() -> None:
    assert (
        run("NoderackColourGrade", exposure=1.0).mean()
        > IMAGE.mean()
        > run("NoderackColourGrade", exposure=-1.0).mean()
    )
    warm = run("NoderackColourGrade", GREY, temperature=0.5)[0, 0, 0]
    assert warm[0] > warm[1] > warm[2]
    assert luma_of(warm).item() == pytest.approx(0.5, abs=0.01), "white balance keeps the brightness of grey"
    assert run("NoderackColourGrade", contrast=0.0).std() < 1e-6
    flat = run("NoderackColourGrade", saturation=0.0)
    assert (flat[..., 0] - flat[..., 1]).abs().max() < 1e-6
    assert run("NoderackColourGrade", torch.zeros_like(GREY), lift=0.1).mean().item() == pytest.approx(0.1)


def test_one_stop_doubles_the_light() -> None:
    dark = torch.full((1, 4, 4, 3), 0.2)
    assert run("NoderackColourGrade", dark, exposure=1.0)[0, 0, 0, 0].item() ** 2.2 == pytest.approx(
        2 * 0.2**2.2, rel=1e-4
    )


def test_mask_limits_the_grade() -> None:
    mask = torch.zeros((12, 16))
    mask[:, 8:] = 1.0
    result = run("NoderackColourGrade", exposure=1.0, mask=mask)
    assert torch.equal(result[:, :, :12], IMAGE[:, :, :12]) and not torch.equal(
        result[:, :, 20:], IMAGE[:, :, 20:]
    )


def test_split_tone_keeps_black_and_white() -> None:
    ends = torch.cat([torch.zeros(1, 2, 2, 3), torch.ones(1, 2, 2, 3)])
    assert torch.allclose(
        run("NoderackSplitTone", ends, shadow_strength=1.0, highlight_strength=1.0), ends, atol=1e-6
    )


def test_halation_glows_around_light_only() -> None:
    image = torch.zeros((1, 41, 41, 3))
    image[0, 20, 20] = 1.0
    result = run("NoderackHalation", image, radius=2.0, amount=1.0)
    near, far = result[0, 20, 23], result[0, 0, 0]
    assert near[0] > near[2] >= 0 and near[0] > 0.001 and far.max() < 1e-6


def test_blur_keeps_the_amount_of_light() -> None:
    spot = torch.zeros((1, 33, 33, 1))
    spot[0, 16, 16] = 1.0
    assert blur(spot, 3.0).sum().item() == pytest.approx(1.0, abs=1e-4)


def test_vignette_leaves_the_centre() -> None:
    result = run("NoderackVignette", torch.ones(1, 65, 65, 3), amount=1.0)
    assert result[0, 32, 32, 0] == 1 and result[0, 0, 0, 0] < 0.1
