"""Words with a place: the gated U-Net against diffusers', through a file and a sampling condition."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from noderack_diffusion import names
from noderack_diffusion.errors import UnknownModelError
from noderack_diffusion.gligen import Gligen, load_gligen, waves
from noderack_diffusion.guide import Guide, prepare
from noderack_diffusion.model import Model
from noderack_diffusion.shapes import shapes_of
from noderack_diffusion.sigma import standard
from noderack_diffusion.spec import FAMILIES, ModelSpec
from noderack_diffusion.unet import UNet, unet_config
from safetensors.torch import save_file
from torch import Tensor, nn

from .test_golden_nano import Fixed
from .test_parity import CROSS, PLAIN, apart, randomise, renamed, unet_config_of

CONTEXT, SIDE = 768, 8
BOXES = [(4, 4, 0, 0), (6, 3, 2, 4)]
"""Height, width, top, left in cells."""


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    torch.manual_seed(2)
    network = diffusers.UNet2DConditionModel(
        sample_size=SIDE,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=(CROSS["down"], PLAIN["down"]),
        up_block_types=(PLAIN["up"], CROSS["up"]),
        cross_attention_dim=CONTEXT,
        attention_head_dim=8,
        norm_num_groups=16,
        attention_type="gated",
    )
    for name, p in network.named_parameters():
        if "alpha" in name or "null" in name:
            p.data = torch.randn_like(p)
    return randomise(network)


@pytest.fixture(scope="module")
def parts(theirs: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Gligen]:
    """The U-Net, and its gates in a file of their own as people have them."""
    modules = dict(names.unet_modules(unet_config_of(theirs)))
    state = theirs.state_dict()
    plain = {k: v for k, v in state.items() if "fuser" not in k and not k.startswith("position_net")}
    own = renamed(plain, modules)
    network = UNet(unet_config(shapes_of(own), {"groups": 16}))
    network.load_state_dict(own)
    gates = {k: v for k, v in state.items() if k.startswith("position_net")}
    for name, value in state.items():
        place, found, leaf = name.partition(".transformer_blocks.0.fuser.")
        if found:
            gates[modules[f"{place}.proj_in"].removesuffix("proj_in") + found[1:] + leaf] = value
    path = tmp_path_factory.mktemp("gligen") / "gates.safetensors"
    save_file({k: v.contiguous() for k, v in gates.items()}, path)
    family = next(f for f in FAMILIES if f.name == "sd1")
    model = Model(ModelSpec(family, network.config, None, ""), Fixed(network.eval()), standard())
    return model, load_gligen(path, device="cpu", dtype=torch.float32)


def rows() -> list[Any]:
    torch.manual_seed(3)
    return [(torch.randn(1, CONTEXT), *box) for box in BOXES]


def told(placed: list[Any]) -> dict[str, Tensor]:
    """The same for diffusers: boxes in 0..1, thirty of them, most empty."""
    boxes, words, mask = torch.zeros(1, 30, 4), torch.zeros(1, 30, CONTEXT), torch.zeros(1, 30)
    for i, (text, h, w, y, x) in enumerate(placed):
        boxes[0, i] = torch.tensor([x, y, x + w, y + h]) / SIDE
        words[0, i], mask[0, i] = text[0], 1
    return {"boxes": boxes, "positive_embeddings": words, "masks": mask}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_condition_with_places(theirs: nn.Module, parts: tuple[Model, Gligen], count: int) -> None:
    model, gates = parts
    placed = rows()[:count]
    torch.manual_seed(4)
    x, context = torch.randn(1, 4, SIDE, SIDE), torch.randn(1, 5, CONTEXT)
    lists = [[[context, {"gligen": ("position", gates, placed)}]], [[context * 0.5, {}]]]
    sides = prepare(model, lists, x)
    assert sides[1][0].places is sides[0][0].places, "the negative side has the same places"
    with torch.no_grad():
        ours = Guide(model).predict(sides, x * 3, 2.0)
        level = torch.full((1,), 2.0)
        for clean, text in zip(ours, (context, context * 0.5), strict=True):
            out = theirs(
                model.param.input(x * 3, level),
                model.param.times.time(level),
                text,
                cross_attention_kwargs={"gligen": told(placed)},
            ).sample
            assert apart(clean, model.param.clean(x * 3, out, level)) < 1e-4


def test_places_reach_the_picture(parts: tuple[Model, Gligen]) -> None:
    model, gates = parts
    x, context = torch.randn(1, 4, SIDE, SIDE), torch.randn(1, 5, CONTEXT)
    plain = Guide(model).predict(prepare(model, [[[context, {}]]], x), x, 2.0)[0]
    given = {"gligen": ("position", gates, rows())}
    assert apart(plain, Guide(model).predict(prepare(model, [[[context, given]]], x), x, 2.0)[0]) > 1e-3


def test_waves_are_theirs() -> None:
    boxes = torch.rand(2, 3, 4)
    wanted = diffusers.models.embeddings.get_fourier_embeds_from_boundingbox(8, boxes)
    assert apart(waves(boxes), wanted) < 1e-5


def test_another_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(UnknownModelError, match="holds no GLIGEN gates"):
        load_gligen(tmp_path / "a.safetensors")
