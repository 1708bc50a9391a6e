"""ControlNets against diffusers, and how their handles chain and time themselves."""

from pathlib import Path

import diffusers
import pytest
import torch
from noderack_diffusion import names
from noderack_diffusion.control import Control, ControlNet, merged
from noderack_diffusion.control_load import load_controlnet
from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.sigma import standard
from noderack_diffusion.unet import UNet, unet_config
from safetensors.torch import save_file
from torch import Tensor

from .test_parity import CROSS, PLAIN, TOLERANCE, apart, randomise, renamed, unet_config_of

COMMON = {
    "block_out_channels": (32, 64, 64),
    "layers_per_block": 2,
    "down_block_types": (CROSS["down"], CROSS["down"], PLAIN["down"]),
    "cross_attention_dim": 48,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
}


@pytest.fixture(scope="module")
def theirs() -> tuple:
    up = {"up_block_types": (PLAIN["up"], CROSS["up"], CROSS["up"])}
    unet = randomise(diffusers.UNet2DConditionModel(sample_size=8, **COMMON, **up))
    control = diffusers.ControlNetModel(**COMMON, conditioning_embedding_out_channels=(16, 32, 96, 256))
    for p in control.parameters():
        p.data = torch.randn_like(p) * 0.05 + (1.0 if p.dim() == 1 and p.shape[0] > 1 else 0.0) * 0.1
    return unet, control.eval()


@pytest.fixture(scope="module")
def file(theirs: tuple, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("control") / "diffusers.safetensors"
    save_file({k: v.contiguous() for k, v in theirs[1].state_dict().items()}, path)
    return path


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(2)
    return (
        torch.randn(2, 4, 8, 12),
        torch.rand(1, 64, 96, 3),
        torch.randn(2, 5, 48),
        torch.tensor([321.0, 321.0]),
    )


def test_residuals_and_their_effect(theirs: tuple, file: Path) -> None:
    unet, reference = theirs
    x, picture, context, t = inputs()
    control = load_controlnet(file, device="cpu").given(picture, 0.7)
    network = control.live.use(PatchSet())
    assert isinstance(network, ControlNet)
    config = unet_config_of(unet)
    state = renamed(unet.state_dict(), dict(names.unet_modules(config)))
    ours = UNet(unet_config({k: tuple(v.shape) for k, v in state.items()}))
    ours.load_state_dict(state)
    hint = picture.movedim(-1, 1).repeat(2, 1, 1, 1)
    with torch.no_grad():
        down, middle = reference(x, t, context, hint, conditioning_scale=0.7, return_dict=False)
        sigma = standard().times.sigma(t)
        got = control.residuals(standard(), x, sigma, context=context)
        assert got is not None
        assert max(apart(a, b) for a, b in zip(got["output"], down, strict=True)) <= TOLERANCE
        assert apart(got["middle"][0], middle) <= TOLERANCE
        want = unet(
            x, t, context, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        assert apart(ours(x, t, context, control=got), want) <= 5 * TOLERANCE


def test_range_chain_and_strength(file: Path) -> None:
    x, picture, context, t = inputs()
    sigma = standard().times.sigma(t)
    one = load_controlnet(file, device="cpu").given(picture, 1.0)
    with torch.no_grad():
        alone = one.residuals(standard(), x, sigma, context=context)
        late = one.given(picture, 1.0, 0.9, 1.0)
        assert late.residuals(standard(), x, sigma, context=context) is None
        twice = one.after(one).residuals(standard(), x, sigma, context=context)
        assert torch.allclose(twice["output"][3], 2 * alone["output"][3])
        assert one.given(picture, 0.0).residuals(standard(), x, sigma, context=context) is None


def test_lists_are_matched_from_their_end() -> None:
    a, b = torch.ones(1), torch.ones(1) * 2
    assert merged({"output": [a]}, {"output": [b, b]})["output"] == [b, a + b]
    assert merged(None, {"middle": [a]}) == {"middle": [a]}


def test_other_files_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "no.safetensors")
    with pytest.raises(UnknownModelError, match=r"no\.safetensors is no ControlNet"):
        load_controlnet(tmp_path / "no.safetensors")
    assert Control.__doc__
