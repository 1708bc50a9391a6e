"""T2I-adapters against diffusers: their features, and what these do to a U-Net."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from noderack_diffusion import names
from noderack_diffusion.control_load import load_controlnet
from noderack_diffusion.sigma import standard
from noderack_diffusion.t2i import T2IAdapter, halved
from noderack_diffusion.unet import UNet, unet_config
from safetensors.torch import save_file
from torch import Tensor, nn

from .test_parity import CROSS, PLAIN, apart, randomise, renamed, unet_config_of

WIDTHS = (32, 64, 128, 128)
SD1: dict[str, Any] = {
    "block_out_channels": WIDTHS,
    "down_block_types": (*[CROSS["down"]] * 3, PLAIN["down"]),
    "up_block_types": (PLAIN["up"], *[CROSS["up"]] * 3),
    "layers_per_block": 2,
    "cross_attention_dim": 48,
    "attention_head_dim": 8,
}
SDXL: dict[str, Any] = {
    "block_out_channels": (64, 128, 256),
    "down_block_types": (PLAIN["down"], CROSS["down"], CROSS["down"]),
    "up_block_types": (CROSS["up"], CROSS["up"], PLAIN["up"]),
    "layers_per_block": 2,
    "cross_attention_dim": 48,
    "attention_head_dim": (1, 2, 4),
    "use_linear_projection": True,
}
MAKES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "full_adapter": ({"channels": [*WIDTHS], "downscale_factor": 8}, SD1),
    "light_adapter": ({"channels": [32, 64, 128], "num_res_blocks": 4, "downscale_factor": 8}, SD1),
    "full_adapter_xl": ({"channels": [64, 128, 256, 256], "downscale_factor": 16}, SDXL),
}


def theirs(kind: str, channels: int = 3) -> nn.Module:
    torch.manual_seed(1)
    return randomise(diffusers.T2IAdapter(in_channels=channels, adapter_type=kind, **MAKES[kind][0]))


def saved(network: nn.Module, path: Path) -> T2IAdapter:
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path / "adapter.safetensors")
    found = load_controlnet(path / "adapter.safetensors", device="cpu", dtype=torch.float32)
    assert isinstance(found, T2IAdapter)
    return found


def network_of(kind: dict[str, Any]) -> tuple[nn.Module, UNet]:
    unet = randomise(diffusers.UNet2DConditionModel(sample_size=16, norm_num_groups=32, **kind))
    state = renamed(unet.state_dict(), dict(names.unet_modules(unet_config_of(unet))))
    ours = UNet(unet_config({k: tuple(v.shape) for k, v in state.items()}))
    ours.load_state_dict(state)
    return unet, ours.eval()


@pytest.mark.parametrize("kind", MAKES)
def test_steered_as_theirs(kind: str, tmp_path: Path) -> None:
    reference = theirs(kind)
    torch.manual_seed(2)
    x, picture = torch.randn(2, 4, 16, 32), torch.rand(1, 128, 256, 3)
    context, t = torch.randn(2, 5, 48), torch.tensor([321.0, 321.0])
    unet, ours = network_of(MAKES[kind][1])
    adapter = saved(reference, tmp_path).given(picture, 0.8)
    with torch.no_grad():
        features = [0.8 * f for f in reference(picture.movedim(-1, 1))]
        got = adapter.residuals(standard(), x, standard().times.sigma(t))
        assert got is not None
        assert max(apart(f, p) for f, p in zip(features, placed(got), strict=True)) < 2e-5
        both = [f.repeat(2, 1, 1, 1) for f in features]
        want = unet(x, t, context, down_intrablock_additional_residuals=both).sample
        assert apart(ours(x, t, context, control=got), want) < 1e-4


def placed(got: dict[str, list[Tensor | None]]) -> list[Tensor]:
    """The features in their order, as a pass meets them."""
    places = [*reversed(got["input"]), *got.get("middle", [])]
    return [feature[:1] for feature in places if feature is not None]


def test_a_grey_picture_and_another_file_of_the_same(tmp_path: Path) -> None:
    reference = theirs("full_adapter", channels=1)
    adapter = saved(reference, tmp_path)
    assert adapter.channels == 1
    picture = torch.rand(1, 64, 64, 3)
    with torch.no_grad():
        got = adapter.given(picture, 1.0).residuals(standard(), torch.zeros(1, 4, 8, 8), torch.ones(1))
        want = reference(picture.movedim(-1, 1).mean(dim=1, keepdim=True))
    assert got is not None and apart(placed(got)[-1], want[-1]) < 2e-5
    original = {k.removeprefix("adapter."): v.contiguous() for k, v in reference.state_dict().items()}
    flat = {}
    for name, value in original.items():
        parts = name.split(".")
        if parts[0] == "body":
            deep = parts[2] == "resnets"
            at = int(parts[1]) * 2 + (int(parts[3]) if deep else 0)
            parts = ["body", str(at), *parts[4 if deep else 2 :]]
        flat[".".join(parts)] = value
    save_file(flat, tmp_path / "original.safetensors")
    again = load_controlnet(tmp_path / "original.safetensors", device="cpu", dtype=torch.float32)
    with torch.no_grad():
        same = again.given(picture, 1.0).residuals(standard(), torch.zeros(1, 4, 8, 8), torch.ones(1))
    assert same is not None and apart(placed(same)[0], placed(got)[0]) == 0


def test_odd_sizes_fit_the_unet() -> None:
    assert halved(torch.ones(1, 1, 5, 8)).shape == (1, 1, 3, 4)
    assert halved(torch.ones(1, 1, 4, 4)).equal(torch.ones(1, 1, 2, 2))
