"""The way with fewer multiplications gives what a convolution gives, as exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from noderack_diffusion import winograd
from noderack_diffusion.packed import PackedConv2d
from torch import Tensor
from torch.nn import functional as F


def picture(batch: int, channels: int, height: int, width: int) -> Tensor:
    return torch.randn(batch, channels, height, width).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(3, 23), st.integers(3, 23)),
    edge=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    batch=st.integers(1, 3),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    biased=st.booleans(),
)
def test_any_size_edge_and_stored_dtype(
    size: tuple[int, int], edge: tuple[int, int], batch: int, dtype: torch.dtype, biased: bool
) -> None:
    torch.manual_seed(3)
    x, weight = picture(batch, 5, *size), torch.randn(7, 5, 3, 3).to(dtype)
    bias = torch.randn(7) if biased else None
    found = winograd.convolve(x, weight, bias, edge)
    right = F.conv2d(x, weight.float(), bias, padding=edge)
    assert found.shape == right.shape and found.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(found, right, atol=1e-4)


@torch.no_grad()
def test_strips_and_parts_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several strips, the last one shorter; several parts of the weight, the last one smaller."""
    for name, value in {"STRIP": 36 * 8 * 40, "TOGETHER": 8, "PART": 9 * 8 * 32}.items():
        monkeypatch.setattr(winograd, name, value)
    x, weight = picture(2, 8, 37, 15), torch.randn(40, 8, 3, 3)
    found = winograd.convolve(x, weight, None, (1, 1))
    assert torch.allclose(found, F.conv2d(x, weight, padding=1), atol=1e-4)


@torch.no_grad()
def test_it_is_as_near_to_the_exact_result_as_the_usual_way() -> None:
    torch.manual_seed(4)
    x, weight = picture(1, 320, 32, 32), torch.randn(320, 320, 3, 3) / 54
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    ours, usual = winograd.convolve(x, weight, None, (1, 1)), F.conv2d(x, weight, padding=1)
    assert (ours - exact).abs().max() < 3 * (usual - exact).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("channels", "size", "more", "taken"),
    [
        (128, (32, 32), {}, True),
        (128, (16, 16), {}, False),
        (64, (32, 32), {}, False),
        (128, (32, 32), {"stride": 2}, False),
        (128, (32, 32), {"dilation": 2}, False),
        (128, (32, 32), {"groups": 2}, False),
    ],
    ids=["large", "few tiles", "few channels", "stride", "dilation", "groups"],
)
@torch.inference_mode()
def test_which_convolutions_take_it(
    channels: int, size: tuple[int, int], more: dict[str, int], taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.inference_mode(False):
        layer = PackedConv2d(channels, 128, 3, padding=1, **more).requires_grad_(False)
    calls: list[object] = []
    convolve = winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda *a: calls.append(a) or convolve(*a))
    x = picture(1, channels, *size)
    right = F.conv2d(x, layer.weight, layer.bias, padding=1, **more)
    assert torch.allclose(layer(x), right, atol=1e-4) and bool(calls) == taken
