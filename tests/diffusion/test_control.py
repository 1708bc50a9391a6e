"""ControlNets against diffusers, and how their handles chain and time themselves."""

from dataclasses import replace
from pathlib import Path

import diffusers
import pytest
import torch
from noderack_diffusion import names
from noderack_diffusion.checkpoint import load_model
from noderack_diffusion.control import Control, ControlNet, merged
from noderack_diffusion.control_load import load_controlnet
from noderack_diffusion.errors import MismatchError, UnknownModelError
from noderack_diffusion.model import Model
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


def test_one_for_many_kinds_of_pictures(tmp_path: Path) -> None:
    torch.manual_seed(5)
    reference = diffusers.ControlNetUnionModel(
        **COMMON,
        num_trans_channel=32,
        num_trans_head=8,
        num_proj_channel=32,
        num_control_type=6,
        addition_time_embed_dim=256,
        conditioning_embedding_out_channels=(16, 32, 96, 256),
    )
    for p in reference.parameters():
        p.data = torch.randn_like(p) * 0.05
    save_file(
        {k: v.contiguous() for k, v in reference.eval().state_dict().items()}, tmp_path / "u.safetensors"
    )
    x, picture, context, t = inputs()
    control = load_controlnet(tmp_path / "u.safetensors", device="cpu", dtype=torch.float32)
    assert isinstance(control, Control)
    hint, sigma = picture.movedim(-1, 1).repeat(2, 1, 1, 1), standard().times.sigma(t)
    with torch.no_grad():
        given = replace(control, kinds=(3,)).given(picture, 0.7)
        got = given.residuals(standard(), x, sigma, context=context)
        kinds = torch.eye(6)[[3]].repeat(2, 1)
        down, middle = reference(x, t, context, [hint], kinds, [3], conditioning_scale=0.7, return_dict=False)
        assert got is not None
        assert max(apart(a, b) for a, b in zip(got["output"], down, strict=True)) <= TOLERANCE
        assert apart(got["middle"][0], middle) <= TOLERANCE
        plain = control.given(picture, 0.7).residuals(standard(), x, sigma, context=context)
        assert apart(plain["output"][0], got["output"][0]) > 1e-4, "without a kind it is not shifted"
        with pytest.raises(MismatchError, match="knows 6 kinds of pictures"):
            replace(control, kinds=(7,)).given(picture, 1).residuals(standard(), x, sigma, context=context)


def test_the_mean_over_the_picture_by_the_name_of_the_file(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "control_v11e_sd15_shuffle.safetensors"
    path.write_bytes(file.read_bytes())
    x, picture, context, t = inputs()
    sigma = standard().times.sigma(t)
    with torch.no_grad():
        plain, even = (
            load_controlnet(p, device="cpu")
            .given(picture, 1.0)
            .residuals(standard(), x, sigma, context=context)
            for p in (file, path)
        )
    assert even["output"][0].std(dim=(2, 3)).max() < 1e-6
    assert torch.allclose(even["output"][0][..., 0, 0], plain["output"][0].mean(dim=(2, 3)), atol=1e-6)


@pytest.fixture(scope="module")
def model(theirs: tuple, tmp_path_factory: pytest.TempPathFactory) -> Model:
    state = renamed(theirs[0].state_dict(), dict(names.unet_modules(unet_config_of(theirs[0]))))
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    return load_model(path, device="cpu", dtype=torch.float32)


def native(file: Path) -> dict[str, Tensor]:
    live = load_controlnet(file, device="cpu", dtype=torch.float32).live
    return {name: piece.read().clone() for name, piece in live.pieces.items()}


def residuals(control: Control, model: Model | None = None) -> Tensor:
    x, picture, context, t = inputs()
    with torch.no_grad():
        got = control.given(picture, 1.0).residuals(
            standard(), x, standard().times.sigma(t), context=context, base=model
        )
    assert got is not None and got["middle"][0] is not None
    return got["middle"][0]


def test_a_file_of_differences(file: Path, model: Model, tmp_path: Path) -> None:
    whole, base = native(file), model.live.pieces
    apart_ = {k: v - base[k].read() if k in base else v for k, v in whole.items()}
    named = {f"control_model.{k}": v for k, v in apart_.items()}
    save_file({**named, "difference": torch.zeros(1)}, tmp_path / "diff.safetensors")
    want = residuals(load_controlnet(file, device="cpu", dtype=torch.float32))
    alone = load_controlnet(tmp_path / "diff.safetensors", device="cpu", dtype=torch.float32)
    joined = load_controlnet(tmp_path / "diff.safetensors", device="cpu", dtype=torch.float32, model=model)
    assert apart(residuals(joined), want) < 1e-5 < apart(residuals(alone), want)


def test_a_control_lora_is_the_model_with_low_rank_changes(file: Path, model: Model, tmp_path: Path) -> None:
    whole, base, kept = native(file), model.live.pieces, {}
    expected = dict(whole)
    for name, value in whole.items():
        if name in base and value.dim() > 1:
            tail = [1] * (value.dim() - 2)
            up, down = torch.randn(value.shape[0], 2, *tail) * 0.1, torch.randn(2, *value.shape[1:])
            kept[f"{name.removesuffix('.weight')}.up"] = up
            kept[f"{name.removesuffix('.weight')}.down"] = down
            expected[name] = base[name].read() + (up.flatten(1) @ down.flatten(1)).view(value.shape)
        else:
            kept[name] = value
    save_file({**kept, "lora_controlnet": torch.zeros(1)}, tmp_path / "lora.safetensors")
    save_file(expected, tmp_path / "whole.safetensors")
    control = load_controlnet(tmp_path / "lora.safetensors", device="cpu", dtype=torch.float32)
    want = residuals(load_controlnet(tmp_path / "whole.safetensors", device="cpu", dtype=torch.float32))
    assert apart(residuals(control, model), want) < 1e-5
    with pytest.raises(MismatchError, match="from the model that it steers"):
        residuals(control)
