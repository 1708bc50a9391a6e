"""Pictures made square before they are looked at."""

import pytest
import torch
from noderack_ipadapter.prepare import cropped, padded, prepared, sharpened


@pytest.mark.parametrize(
    ("position", "first"), [("left", 0), ("center", 2), ("right", 4), ("top", 2), ("bottom", 2)]
)
def test_the_square_lies_where_it_is_asked_for(position: str, first: int) -> None:
    image = torch.arange(6.0).expand(1, 2, 6)[..., None].repeat(1, 1, 1, 3)
    assert cropped(image, position)[0, :, :, 0].tolist() == [[first, first + 1]] * 2
    tall = image.transpose(1, 2)
    assert cropped(tall, {"left": "top", "right": "bottom"}.get(position, position)).shape == (1, 2, 2, 3)


def test_padding_keeps_all_on_black() -> None:
    square = padded(torch.ones(1, 2, 5, 3))
    assert square.shape == (1, 5, 5, 3) and square.sum() == 30 and square[0, 0].sum() == 0


@pytest.mark.parametrize("way", ["LANCZOS", "NEAREST"])
def test_sizes(way: str) -> None:
    small = prepared(torch.rand(2, 40, 30, 3), way, "pad", 0.5)
    assert small.shape == (2, 224, 224, 3) and small.min() >= 0 and small.max() <= 1


def test_sharpening_leaves_even_places_and_raises_contrast() -> None:
    even = torch.full((1, 9, 9, 3), 0.5)
    assert torch.allclose(sharpened(even, 1.0)[:, 1:-1, 1:-1], even[:, 1:-1, 1:-1], atol=1e-6)
    edge = torch.cat([torch.full((1, 9, 5, 3), 0.4), torch.full((1, 9, 5, 3), 0.6)], dim=2)
    row = sharpened(edge, 1.0)[0, 4, :, 0]
    assert row[4] < 0.4 - 0.01 and row[5] > 0.6 + 0.01
