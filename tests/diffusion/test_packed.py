"""Layers that keep what they make ready give what ordinary layers give, whatever is done to their weights."""

import pytest
import torch
from noderack_diffusion import widening
from noderack_diffusion.narrow import narrowed, widened
from noderack_diffusion.packed import PackedConv2d
from noderack_diffusion.seen_text import SeenText
from noderack_diffusion.stored import widen_on_use
from noderack_diffusion.widening import product
from torch import Tensor, nn
from torch.nn import functional as F


def conv(**more: object) -> PackedConv2d:
    layer = PackedConv2d(8, 16, 3, padding=1, **more)
    return layer.requires_grad_(False)


@torch.no_grad()
@pytest.mark.parametrize("more", [{}, {"stride": 2}, {"bias": False}, {"padding_mode": "circular"}])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_packed_convolution_is_a_convolution(more: dict, layout: torch.memory_format) -> None:
    layer = conv(**more)
    plain = nn.Conv2d(8, 16, 3, padding=1, **more)
    plain.load_state_dict(layer.state_dict())
    for size in (4, 9):
        x = torch.randn(2, 8, size, size).contiguous(memory_format=layout)
        assert torch.allclose(layer(x), plain(x), atol=1e-5)


@torch.no_grad()
def test_it_is_packed_anew_for_another_weight() -> None:
    layer, x = conv(), torch.randn(1, 8, 6, 6)

    def right() -> bool:
        return torch.allclose(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1), atol=1e-5)

    assert right()
    layer.weight.mul_(2)
    assert right()
    for _ in range(5):
        layer._parameters["weight"] = nn.Parameter(torch.randn(16, 8, 3, 3), requires_grad=False)
        assert right()


def test_gradients_flow_and_half_weights_are_widened() -> None:
    layer, x = PackedConv2d(8, 16, 3), torch.randn(1, 8, 6, 6)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    half = widen_on_use(nn.Sequential(nn.Conv2d(8, 16, 3), nn.Linear(4, 4)).requires_grad_(False), packs=True)
    whole = half(x)
    for module in half:
        module._parameters["weight"] = nn.Parameter(module.weight.half(), requires_grad=False)
    assert half[0].weight.dtype == torch.float16 and torch.allclose(half(x), whole, atol=1e-2)


@torch.no_grad()
@pytest.mark.parametrize("rows", [3, 200])
def test_a_narrow_weight_is_widened_part_by_part(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widening, "CACHED", 5000), monkeypatch.setattr(widening, "WIDEST", 9000)
    x, weight, bias = torch.randn(1, rows, 64), torch.randn(300, 64).bfloat16(), torch.randn(300)
    for b in (None, bias):
        assert torch.allclose(product(x, weight, b), F.linear(x, weight.float(), b), atol=1e-4)
        whole = narrowed(weight, torch.int8)
        assert torch.allclose(product(x, whole, b), F.linear(x, widened(whole, x.dtype), b), atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [3, 9, 20])
def test_convolutions_of_every_size_in_either_dtype(size: int, dtype: torch.dtype) -> None:
    x = torch.randn(2, 8, size, size + 1)
    for kernel, more in ((1, {}), (3, {"padding": 1}), (3, {"stride": 2, "padding": 1}), (3, {"groups": 2})):
        with torch.inference_mode(False):
            layer = PackedConv2d(8, 48, kernel, **more).requires_grad_(False)
            layer._parameters["weight"] = nn.Parameter(layer.weight.to(dtype), requires_grad=False)
        for given in (x, x.contiguous(memory_format=torch.channels_last)):
            right = layer._conv_forward(given, layer.weight.float() + 0, layer.bias)
            assert torch.allclose(layer(given), right, atol=1e-4)


@torch.no_grad()
def test_what_is_packed_lets_the_file_go() -> None:
    layer, gone = conv(), list[bool]()
    layer.unmap = lambda: gone.append(True)
    for _ in range(2):
        layer(torch.randn(1, 8, 20, 20))
    assert gone == [True]


def asked(seen: SeenText, text: Tensor, k: nn.Linear, v: nn.Linear) -> bool:
    """Whether what comes is right; the layers count."""
    keys, values = seen.of(text, k, v)
    return torch.equal(keys, F.linear(text, k.weight, k.bias)) and torch.equal(
        values, F.linear(text, v.weight, v.bias)
    )


@torch.no_grad()
def test_a_text_is_asked_about_once_until_it_or_the_weights_change() -> None:
    seen, text = SeenText(), torch.randn(1, 5, 8)
    k, v = nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 8).requires_grad_(False)
    first = seen.of(text, k, v)
    assert asked(seen, text, k, v) and seen.of(text, k, v)[0] is first[0]
    k.weight.add_(1)
    assert asked(seen, text, k, v)
    text.add_(1)
    assert asked(seen, text, k, v)
    v._parameters["weight"] = nn.Parameter(torch.randn(8, 8), requires_grad=False)
    assert asked(seen, text, k, v)
    assert all(asked(seen, torch.randn(1, 5, 8), k, v) for _ in range(9)) and len(seen._made) <= 4
    k.register_forward_hook(lambda module, given, out: out + 1)
    assert torch.equal(seen.of(text, k, v)[0], k(text))
