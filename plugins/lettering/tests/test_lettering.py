"""Letters land where they are asked to, fit where they must, and leave the given tensor alone."""

import pytest
import torch
from noderack_lettering import draw, fit, measure, render

BLACK = torch.zeros((40, 120, 3))


def test_drawing_leaves_its_input_alone() -> None:
    before = BLACK.clone()
    result = draw(BLACK, "seed 42", x=4, y=4)
    assert torch.equal(BLACK, before) and result.max() > 0.5


def test_letters_stay_in_their_box() -> None:
    result = draw(BLACK, "Hg", x=10, y=5, size=20)
    width, height = measure("Hg", size=20)
    inside = result[5 : 5 + height, 10 : 10 + width]
    assert inside.sum() == result.sum() > 0


def test_same_text_is_the_same_everywhere() -> None:
    one = draw(BLACK, "Ab", x=0, y=0)[:20, :40]
    other = draw(BLACK, "Ab", x=30, y=10)[10:30, 30:70]
    assert torch.equal(one, other)


@pytest.mark.parametrize(("x", "y"), [(-10, -5), (115, 0), (0, 35), (500, 500), (-500, 0)])
def test_what_falls_outside_is_cut(x: int, y: int) -> None:
    assert draw(BLACK, "cut me", x=x, y=y).shape == BLACK.shape


def test_colour_and_shadow() -> None:
    red = draw(BLACK, "M", size=30, colour=(1.0, 0.0, 0.0))
    assert red[..., 0].max() > 0.9 and red[..., 1:].max() == 0
    white = torch.ones((40, 60, 3))
    assert torch.equal(draw(white, "M", size=30), white)
    assert draw(white, "M", size=30, shadow=True).min() < 0.1


def test_alpha_is_raised_under_letters() -> None:
    clear = torch.zeros((30, 60, 4))
    result = draw(clear, "M", size=24)
    assert result[..., 3].max() > 0.9 and torch.equal(result[..., 3] > 0, result[..., 0] > 0)


@pytest.mark.parametrize("limit", [0, 5, 20, 60, 100, 1000])
def test_fit_never_passes_its_limit(limit: int) -> None:
    text = "a rather long label\nshort"
    fitted = fit(text, limit, size=14)
    assert measure(fitted, size=14)[0] <= limit or fitted == "\n"
    assert limit < 1000 or fitted == text


@pytest.mark.parametrize("align", ["left", "right"])
def test_alignment(align: str) -> None:
    lines = render("MMMMMM\nI", size=16, align=align)
    second = lines[20:].sum(dim=0)
    half = lines.shape[1] // 2
    assert bool(second[half:].sum() == 0) == (align == "left")
    assert bool(second[:half].sum() == 0) == (align == "right")


def test_empty_text_draws_nothing() -> None:
    assert torch.equal(draw(BLACK, ""), BLACK)
