"""Adapters beside layers instead of in weights, block weights, and what a load report says."""

from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_diffusion.blocks import LISTS, block_factors, block_of
from noderack_diffusion.errors import AdapterError
from noderack_diffusion.lora import LoraFile, group, patches_for
from noderack_diffusion.model import Model
from noderack_diffusion.narrow import FORMATS
from noderack_diffusion.patch import PatchSet
from noderack_diffusion.sigma import standard
from noderack_diffusion.spec import FAMILIES, ModelSpec
from noderack_diffusion.unet import Level, UNet, UNetConfig
from noderack_diffusion.weights import Live
from torch import Tensor

CONFIG = UNetConfig(width=32, levels=(Level(1, (1,), (1, 1)), Level(2, (1,), (1, 1))), context=16, heads=8)
LINEAR = "input_blocks.1.1.transformer_blocks.0.attn2.to_k"  # 32 x 16
SQUARE = "input_blocks.1.1.transformer_blocks.0.attn1.to_q"  # 32 x 32
CONV = "output_blocks.3.0.in_layers.2"  # 32 x 64 x 3 x 3
POINT = "middle_block.1.proj_in"  # 64 x 64 x 1 x 1
STRIDED = "input_blocks.2.0.op"  # 32 x 32 x 3 x 3, every other pixel


class Piece:
    """A weight that is at hand."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def dims(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    def read(self) -> Tensor:
        return self.value


def model_of(*, stored: torch.dtype | None = None) -> Model:
    torch.manual_seed(1)
    pieces: Any = {name: Piece(p.detach().clone()) for name, p in UNet(CONFIG).named_parameters()}
    family = next(family for family in FAMILIES if family.name == "sd1")
    live = Live(lambda: UNet(CONFIG), pieces, key="bypass", stored=stored)
    return Model(ModelSpec(family, CONFIG, None, "made for the test"), live, standard())


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of()


def r(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) * 0.3


FILES: dict[str, dict[str, Tensor]] = {
    "linear": {f"{LINEAR}.lora_up.weight": r(32, 4), f"{LINEAR}.lora_down.weight": r(4, 16)},
    "conv": {f"{CONV}.lora_up.weight": r(32, 4, 1, 1), f"{CONV}.lora_down.weight": r(4, 64, 3, 3)},
    "strided": {f"{STRIDED}.lora_up.weight": r(32, 4, 1, 1), f"{STRIDED}.lora_down.weight": r(4, 32, 3, 3)},
    "tucker": {
        f"{STRIDED}.lora_up.weight": r(32, 4, 1, 1),
        f"{STRIDED}.lora_mid.weight": r(4, 5, 3, 3),
        f"{STRIDED}.lora_down.weight": r(5, 32, 1, 1),
    },
    "a matrix on a point convolution": {
        f"{POINT}.lora_up.weight": r(64, 4),
        f"{POINT}.lora_down.weight": r(4, 64),
    },
    "dora": {
        f"{SQUARE}.lora_up.weight": r(32, 4),
        f"{SQUARE}.lora_down.weight": r(4, 32),
        f"{SQUARE}.dora_scale": r(32, 1).abs() + 0.5,
    },
    "loha": {f"{SQUARE}.hada_w{n}_{k}": r(*s) for n in "12" for k, s in (("a", (32, 3)), ("b", (3, 32)))},
    "lokr": {f"{CONV}.lokr_w1": r(4, 8), f"{CONV}.lokr_w2": r(8, 8, 3, 3)},
    "oft": {f"{SQUARE}.oft_blocks": r(4, 8, 8)},
    "diff and its bias": {f"{CONV}.diff": r(32, 64, 3, 3), f"{CONV}.diff_b": r(32)},
    "set": {f"{LINEAR}.set_weight": r(32, 16)},
}


def lora_of(tensors: dict[str, Tensor]) -> LoraFile:
    stems = group({f"diffusion_model.{name}": tensor for name, tensor in tensors.items()})
    return LoraFile(Path("made.safetensors"), str(sorted(tensors)), {}, stems)


@torch.no_grad()
def drawn(model: Model) -> Tensor:
    torch.manual_seed(2)
    x, context = torch.randn(2, 4, 8, 10), torch.randn(2, 5, 16)
    out: Tensor = model.network()(x, torch.tensor([3.0, 700.0]), context)
    return out


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("strength", [1.0, -0.4])
def test_beside_the_weights_it_draws_the_same(kind: str, strength: float, model: Model) -> None:
    lora = lora_of(FILES[kind])
    (inside, _), (beside, report) = (
        patches_for(lora, model, strength, bypass=bypass) for bypass in (False, True)
    )
    plain = drawn(model)
    merged, other = drawn(model.with_patches(inside)), drawn(model.with_patches(beside))
    assert torch.allclose(merged, other, atol=3e-6) and not torch.allclose(plain, merged, atol=1e-5)
    assert torch.equal(drawn(model), plain), "taken off without a trace"
    assert report.beside == (0 if kind == "set" else 1)
    assert kind == "set" or "1 beside their layers" in report.sentence()


def test_two_beside_a_layer_add_up_and_one_in_it_counts_too(model: Model) -> None:
    lora, dora = (
        lora_of(FILES["linear"]),
        lora_of({k.replace(SQUARE, LINEAR): v for k, v in FILES["loha"].items()}),
    )
    one, _ = patches_for(lora, model, 0.5, bypass=True)
    whole, _ = patches_for(lora, model, 1.0)
    assert torch.allclose(drawn(model.with_patches(one | one)), drawn(model.with_patches(whole)), atol=3e-6)
    half, _ = patches_for(lora, model, 0.5)
    assert torch.allclose(drawn(model.with_patches(half | one)), drawn(model.with_patches(whole)), atol=3e-6)
    assert (half | one).key != (half | half).key and dora.stems


@pytest.mark.parametrize("stored", FORMATS.values())
def test_weights_in_eight_bits_keep_small_changes_when_beside(stored: torch.dtype) -> None:
    model, exact = model_of(stored=stored), model_of()
    small = lora_of({name: tensor * 0.02 for name, tensor in FILES["conv"].items()})
    patches = {bypass: patches_for(small, model, 1.0, bypass=bypass)[0] for bypass in (False, True)}
    wanted = drawn(exact.with_patches(patches[False])) - drawn(exact)
    off = {
        bypass: float((drawn(model.with_patches(own)) - drawn(model) - wanted).norm() / wanted.norm())
        for bypass, own in patches.items()
    }
    assert off[True] < 0.2 * off[False], off


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("", {"input_blocks.4.1.x": 1.0}),
        (
            "OUT:0.5, IN04:0, MID:2",
            {"output_blocks.7.0.x": 0.5, "input_blocks.4.1.x": 0.0, "middle_block.1.x": 2.0},
        ),
        ("IN=0.25", {"input_blocks.11.0.x": 0.25, "time_embed.0.weight": 1.0}),
        (
            "1,0,0,0,0,0.5,1,1,1,1,1,1",
            {"input_blocks.8.1.x": 0.0, "middle_block.1.x": 0.5, "output_blocks.5.1.x": 1},
        ),
        (",".join(["0.1", *"1111110", *["0.3"] * 9]), {"l.text_model.x": 0.1, "output_blocks.11.1.x": 0.3}),
    ],
)
def test_block_weights(said: str, wanted: dict[str, float]) -> None:
    factor = block_factors(said)
    assert {name: factor(name) for name in wanted} == wanted


@pytest.mark.parametrize("said", ["1,2,3", "OUT:much", "OUT:1, nonsense", "a,b,c,d,e,f,g,h,i,j,k,l"])
def test_block_weights_that_say_nothing(said: str) -> None:
    with pytest.raises(AdapterError):
        block_factors(said)


def test_every_list_is_as_long_as_it_says() -> None:
    assert all(len(blocks) == length for length, blocks in LISTS.items())
    assert block_of("output_blocks.3.0.in_layers.2.weight") == "OUT03" and block_of("out.2.weight") == ""


def test_a_block_at_nothing_is_left_out(model: Model) -> None:
    lora = lora_of(FILES["linear"] | FILES["conv"])
    patches, report = patches_for(lora, model, 1.0, factor=block_factors("IN:0, OUT:0.5"))
    assert [(p.parameter, p.strength) for p in patches.patches] == [(f"{CONV}.weight", 0.5)]
    assert len(report.matched) == 2


def test_the_report_tells_what_is_wrong(model: Model) -> None:
    wrong = {
        f"{LINEAR.replace('to_k', 'to_kk')}.lora_up.weight": r(32, 4),
        f"{LINEAR.replace('to_k', 'to_kk')}.lora_down.weight": r(4, 16),
        f"{SQUARE}.lora_up.weight": r(32, 4),
        f"{SQUARE}.lora_down.weight": r(4, 99),
        f"{CONV}.lora_up.weight": torch.zeros(32, 4, 1, 1),
        f"{CONV}.lora_down.weight": r(4, 64, 3, 3),
        f"{POINT}.diff": torch.zeros(64, 64, 1, 1),
    }
    patches, report = patches_for(lora_of(wrong), model, 1.0)
    assert report.unmatched == {f"diffusion_model.{LINEAR}k": f"diffusion_model.{LINEAR}"}
    assert "does not" not in report.sentence() and "99" not in str(report.matched)
    assert list(report.mismatched or ()) == [f"diffusion_model.{SQUARE}"]
    assert sorted(report.zero) == sorted([f"diffusion_model.{CONV}", f"diffusion_model.{POINT}"])
    for words in ("2 of 4 changes apply", "near", "1 do not fit", "2 are all zero"):
        assert words in report.sentence()
    assert len(patches.patches) == 2


def test_what_a_file_was_made_for_is_told_where_nothing_fits(model: Model) -> None:
    tensors = {
        "lora_unet_double_blocks_0.lora_up.weight": r(8, 2),
        "lora_unet_double_blocks_0.lora_down.weight": r(2, 8),
    }
    lora = LoraFile(Path("f.safetensors"), "f", {"modelspec.architecture": "flux-1-dev/lora"}, group(tensors))
    patches, report = patches_for(lora, model, 1.0)
    assert patches == PatchSet() and "made for flux-1-dev/lora" in report.sentence()
