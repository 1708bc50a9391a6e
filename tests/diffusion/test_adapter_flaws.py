"""Adapter files that are broken, incomplete or for another model: what each part's fate is, in a sentence."""

import math
from pathlib import Path

import pytest
import torch
from noderack_diffusion.checkpoint import load_checkpoint
from noderack_diffusion.errors import AdapterError
from noderack_diffusion.lora import lora_of, patches_for
from noderack_diffusion.model import Model
from torch import Tensor

TINY = Path(__file__).parents[2] / "plugins/tiny/models/noderack-shapes.safetensors"
BLOCK = "diffusion_model.input_blocks.1.1.transformer_blocks.0"
LINEAR, CONV = f"{BLOCK}.ff.net.0.proj", "diffusion_model.input_blocks.1.0.in_layers.2"
NORM, QUERY = f"{BLOCK}.norm1", f"{BLOCK}.attn1.to_q"
TEXT = "text_model.encoder.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def model() -> Model:
    return load_checkpoint(TINY, device="cpu", dtype=torch.float32).model


def r(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * 0.1


def lora(up: Tensor, down: Tensor, stem: str = LINEAR, **more: Tensor) -> dict[str, Tensor]:
    rest = {f"{stem}.{name}": tensor for name, tensor in more.items()}
    return {f"{stem}.lora_up.weight": up, f"{stem}.lora_down.weight": down, **rest}


def named(stem: str, **tensors: Tensor) -> dict[str, Tensor]:
    return {f"{stem}.{name.replace('__', '.')}": tensor for name, tensor in tensors.items()}


UP, DOWN = r(384, 4), r(4, 48)
NAN = torch.tensor(math.nan)
BROKEN: dict[str, tuple[dict[str, Tensor], str]] = {
    "the other way round": (lora(r(48, 4), r(4, 384)), "make no change for the weight [384, 48]"),
    "two ranks": (lora(UP, r(8, 48)), "down [8, 48], up [384, 4] make no change"),
    "no rank": (lora(r(384, 0), r(0, 48)), "is no matrix"),
    "a vector": (lora(r(384), r(48)), "its down is [48], which is no matrix"),
    "half of it": (named(LINEAR, lora_up__weight=UP), "it holds up without what belongs to it"),
    "two alphas": (lora(UP, DOWN, alpha=torch.ones(2)), "its alpha is [1.0, 1.0], which is no number"),
    "alpha nan": (lora(UP, DOWN, alpha=NAN), "its alpha is nan"),
    "a nan": (lora(UP * NAN, DOWN), "its up holds values that are no numbers"),
    "an infinity": (lora(UP, DOWN / 0), "its down holds values that are no numbers"),
    "another window": (lora(r(48, 4, 1, 1), r(4, 48, 1, 1), CONV), "for the weight [48, 48, 3, 3]"),
    "core": (lora(r(48, 4), r(4, 48), CONV, **{"lora_mid.weight": r(4, 5, 3, 3)}), "mid [4, 5, 3, 3]"),
    "DoRA": (lora(UP, DOWN, dora_scale=r(17)), "DoRA's magnitudes [17] are neither rows nor columns"),
    "DoRA of one": (lora(UP, DOWN, dora_scale=torch.tensor(1.0)), "magnitudes [] are neither"),
    "LoHa, a factor less": (
        named(LINEAR, hada_w1_a=UP, hada_w2_a=UP, hada_w2_b=DOWN),
        "it holds hada_w1_a and hada_w2_a and hada_w2_b without",
    ),
    "LoHa, unequal": (
        named(LINEAR, hada_w1_a=UP, hada_w1_b=DOWN, hada_w2_a=UP, hada_w2_b=r(4, 49)),
        "hada_w2_b [4, 49] make no change",
    ),
    "LoHa, one core": (
        named(CONV, hada_t1=r(4, 4, 3, 3), **{f"hada_w{n}_{k}": r(4, 48) for n in "12" for k in "ab"}),
        "make no change",
    ),
    "LoKr, a factor": (named(LINEAR, lokr_w1=r(4, 4)), "it holds lokr_w1 without"),
    "LoKr, half a factor": (named(LINEAR, lokr_w1=r(4, 4), lokr_w2_a=r(96, 2)), "lokr_w1 and lokr_w2_a"),
    "LoKr, split otherwise": (named(LINEAR, lokr_w1=r(2, 8), lokr_w2=r(96, 12)), "make no change"),
    "GLoRA": (
        named(LINEAR, a1__weight=r(49, 4), a2__weight=DOWN, b1__weight=UP, b2__weight=DOWN),
        "a1 [49, 4], a2 [4, 48]",
    ),
    "OFT": (named(LINEAR, oft_blocks=r(3, 8, 8)), "do not turn the 384 rows"),
    "OFT, oblong": (named(LINEAR, oft_blocks=r(48, 8, 7)), "do not turn the 384 rows"),
    "OFT, flat": (named(LINEAR, oft_blocks=r(8, 8)), "its oft_blocks are [8, 8]"),
    "OFT, scaled": (named(LINEAR, oft_blocks=r(48, 8, 8), rescale=r(7, 1)), "it scales 7 rows"),
    "BOFT": (named(LINEAR, oft_blocks=r(9, 48, 8, 8)), "9 stages of its blocks"),
    "(IA)3": (named(LINEAR, weight=r(49), on_input=torch.tensor(True)), "49 factors, the weight"),
    "(IA)3 on a norm": (
        named(NORM, weight=r(48), on_input=torch.tensor(True)),
        "48 factors, the weight [48]",
    ),
    "difference": (named(CONV, diff=r(48, 432)), "the difference is [48, 432]"),
    "bias that is none": (named(QUERY, diff_b=r(48)), "the model has no input_blocks.1.1"),
    "another weight": (named(LINEAR, set_weight=r(384, 51)), "the other weight is [384, 51]"),
    "smaller": (lora(UP, DOWN, reshape_weight=torch.tensor([384, 47])), "cannot grow to"),
    "larger": (lora(UP, r(4, 56), reshape_weight=torch.tensor([384, 56])), "for another network"),
    "flat": (lora(UP, DOWN, reshape_weight=torch.tensor([18432])), "cannot grow to"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_left_out_and_told(case: str, model: Model) -> None:
    tensors, says = BROKEN[case]
    whole = lora(r(48, 4), r(4, 48), QUERY) if not any(QUERY in name for name in tensors) else {}
    patches, report = patches_for(lora_of({**whole, **tensors}), model, 0.8)
    assert says in report.sentence() and len(patches.patches) == bool(whole)
    assert all(p.isfinite().all() for p in model.with_patches(patches).network().parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
@pytest.mark.parametrize("alpha", [torch.tensor(2.0), torch.tensor([2.0]), torch.tensor(2)])
def test_numbers_of_any_kind(dtype: torch.dtype, alpha: Tensor, model: Model) -> None:
    up, down = UP.to(dtype), DOWN.to(dtype)
    patches, report = patches_for(lora_of(lora(up, down, alpha=alpha.to(alpha.dtype))), model, 0.8)
    name = f"{LINEAR}.weight".removeprefix("diffusion_model.")
    before = dict(model.network().named_parameters())[name].clone()
    after = dict(model.with_patches(patches).network().named_parameters())[name]
    assert report.matched and not report.mismatched
    assert torch.allclose(after, before + 0.8 * 2.0 / 4 * (up.float() @ down.float()), atol=1e-6)


SHAPES: list[tuple[int, ...]] = [(384,), (384, 1), (1, 384)]
MAGNITUDES = [
    *(
        (f"lora_magnitude_vector{s}", shape)
        for s in ("", ".weight", ".default", ".default.weight")
        for shape in SHAPES
    ),
    *(("dora_scale", shape) for shape in SHAPES[:2]),
]
"""Not one row of dora_scale: so LyCORIS says that magnitudes are those of inputs."""


@pytest.mark.parametrize(("suffix", "shape"), MAGNITUDES)
def test_every_spelling_of_magnitudes(suffix: str, shape: tuple[int, ...], model: Model) -> None:
    magnitude = r(384).abs() + 0.5
    patches, _ = patches_for(lora_of(lora(UP, DOWN, **{suffix: magnitude.view(shape)})), model, 1.0)
    name = f"{LINEAR}.weight".removeprefix("diffusion_model.")
    after = dict(model.with_patches(patches).network().named_parameters())[name]
    assert torch.allclose(after.norm(dim=1), magnitude, rtol=1e-5)


FLUX = "lora_unet_double_blocks_0_img_attn_qkv"


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        (lora(r(8, 4), r(4, 8), FLUX), "made for Flux"),
        (lora(r(8, 4), r(4, 8), f"transformer.single_{BLOCK[16:]}"), "name nothing here"),
        (lora(UP, DOWN, alpha=torch.tensor(0.0)), "1 are all zero"),
        ({**lora(UP, DOWN), "hello.world": r(2)}, "1 tensors are of no known kind (as 'hello.world')"),
        ({**lora(UP, DOWN), "x.weight": r(2), "x.alpha": r(1)}, "2 tensors are of no known kind"),
        (lora(UP, DOWN, diff_b=r(385)), "1 of 1 changes apply; 1 do not fit"),
        (lora(r(64, 4), r(4, 64), f"base_model.model.{TEXT}"), "0 of 0 changes apply"),
    ],
)
def test_what_the_report_says(tensors: dict[str, Tensor], says: str, model: Model) -> None:
    assert says in patches_for(lora_of(tensors), model, 1.0)[1].sentence()


def test_strengths_that_are_no_numbers_and_files_that_are_no_adapters(model: Model) -> None:
    with pytest.raises(AdapterError, match="give a number"):
        patches_for(lora_of(lora(UP, DOWN)), model, math.nan)
    for tensors in ({}, {"768.0.linear.0.weight": r(8, 8)}, {"a.alpha": torch.tensor(1.0)}):
        with pytest.raises(AdapterError, match="no adapter that is known here"):
            lora_of(tensors)
