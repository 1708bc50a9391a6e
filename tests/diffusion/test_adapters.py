"""Every adapter algorithm against the reference merges, and the names that files call parameters by."""

import pytest
import torch
from noderack_diffusion import adapters
from noderack_diffusion.aliases import tower_aliases, unet_aliases
from noderack_diffusion.errors import DiffusionError
from noderack_diffusion.lora import group
from noderack_diffusion.patch import Part, Patch, PatchSet, apply
from noderack_diffusion.soundness import algorithms
from noderack_diffusion.unet import Level, UNet, UNetConfig, unet_config
from torch import Tensor

from .conftest import Golden, made

STEM = "lora_unet_t"
RAISES_THERE = {"lokr_conv_t2", "boft_linear_noalpha"}
"""Cases where the reference logs an error and leaves the weight; here they are applied."""


def tensors(golden: Golden, entry: dict) -> dict[str, Tensor]:
    found = {}
    for name, value in entry.items():
        if isinstance(value, dict):
            found[name] = torch.tensor(value["literal"]) if "literal" in value else golden.tensor(value)
        else:
            found[name] = torch.tensor(value)
    return found


def merged(golden: Golden, case: dict, compat: bool = True) -> dict[str, Tensor]:
    parts = group(tensors(golden, case["adapter"]))[STEM]
    base = {"t.weight": golden.tensor(case["weight"]), "t.bias": golden.tensor(case["bias"])}
    out = {}
    for name, value in base.items():
        value = value.to(getattr(torch, case["weight_dtype"]))
        rows = [r for r in algorithms(parts) if r.on_bias == (name == "t.bias")]
        patches = [
            Patch(name, row.build(parts, compat), "here", case["strength"], case["strength_model"])
            for row in rows
        ]
        patches = [p for p in patches if p.delta.misfit(tuple(value.shape)) is None]
        out[name] = apply(value, patches).to(value.dtype)
    return out


def test_merges(golden: Golden) -> None:
    wrong = []
    for key, case in golden.index["adapters"].items():
        if "adapter" not in case or key.partition("/")[0] in RAISES_THERE:
            continue
        got = merged(golden, case)
        for name in got:
            if f"out:{name}" in case:
                want = golden.tensor(case[f"out:{name}"])
                half = case["weight_dtype"] == "float16"
                near = torch.allclose(got[name].float(), want.float(), rtol=1e-3 if half else 1e-5, atol=2e-5)
                if got[name].shape != want.shape or not near:
                    wrong.append((key, name, float((got[name] - want).abs().max())))
    assert not wrong


def test_several_patches_in_order_and_on_rows(golden: Golden) -> None:
    def lora(at: str, rows: int) -> adapters.Lora:
        up = made(f"{at}@.lora_up.weight", [rows, 4], 0.0, 0.3)
        down = made(f"{at}@.lora_down.weight", [4, 16], 0.0, 0.3)
        return adapters.Lora({"up": up, "down": down}, 1.0)

    names = [("w1_a", [24, 4]), ("w1_b", [4, 16]), ("w2_a", [24, 4]), ("w2_b", [4, 16])]
    loha = adapters.Loha({f"hada_{n}": made(f"multi2@.hada_{n}", s, 0.0, 0.3) for n, s in names}, 1.0)
    cases = golden.index["adapters"]
    for key, patches in {
        "multi/lora0.7_then_loha0.4": [Patch("t", lora("multi", 24), "a", 0.7), Patch("t", loha, "b", 0.4)],
        "offset/rows8to16": [Patch("t", lora("multi3", 8), "a", 0.7, part=Part(8, 8))],
        "multi/strength_model_in_second": [
            Patch("t", lora("multi", 24), "a", 0.7),
            Patch("t", loha, "b", 0.4, 0.5),
        ],
    }.items():
        case = cases[key]
        want = next(golden.tensor(v) for k, v in case.items() if k.startswith("out"))
        got = apply(golden.tensor(case["weight"]), patches)
        assert torch.allclose(got, want, atol=2e-5), key


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, -1.0])
def test_the_right_form_is_linear_in_strength(strength: float, golden: Golden) -> None:
    for key, case in golden.index["adapters"].items():
        if "adapter" not in case or case["weight_dtype"] != "float32" or case["strength_model"] != 1.0:
            continue
        if key.partition("/")[0] in ("diff_bad_shape", "lora_reshape_weight", "set_weight"):
            continue
        base = golden.tensor(case["weight"])
        whole = merged(golden, {**case, "strength": 1.0}, compat=False)["t.weight"]
        got = merged(golden, {**case, "strength": strength}, compat=False)["t.weight"]
        assert torch.allclose(got, base + strength * (whole - base), atol=1e-5), key


def test_dora_gives_rows_their_magnitude() -> None:
    weight, magnitude = torch.randn(6, 5), torch.rand(6) + 0.5
    parts = {"up": torch.randn(6, 2), "down": torch.randn(2, 5)}
    got = adapters.Lora(parts, 1.0, dora=magnitude).merged(weight.clone(), 1.0)
    assert torch.allclose(got.norm(dim=1), magnitude, rtol=1e-5)


def test_taking_a_set_off_leaves_no_trace() -> None:
    base = torch.randn(8, 8)
    parts = {"up": torch.randn(8, 2), "down": torch.randn(2, 8)}
    patch = Patch("w", adapters.Lora(parts, 1.0), "file:w")
    kept = base.clone()
    apply(base, [patch])
    assert base.equal(kept)
    on, twice = PatchSet((patch,)), PatchSet((patch, patch))
    assert on.differs(PatchSet()) == {"w"} and on.differs(on) == frozenset() and on.key != twice.key


@pytest.mark.parametrize("name", ["sd15", "sdxl_mini"])
def test_every_spelling_that_the_field_uses(name: str, golden: Golden, layouts) -> None:
    import make_checkpoints

    prefix = "model.diffusion_model."
    layout = make_checkpoints.MODELS[name]["layout"]()
    state = {k.removeprefix(prefix): v[0] for k, v in layout.items() if k.startswith(prefix)}
    known = {k: f"diffusion_model.{v}" for k, v in unet_aliases(unet_config(state), state).items()}
    hf = layouts.clip_text_hf("")
    known |= dict(tower_aliases("l", hf, alone=name == "sd15").items())
    big = layouts.clip_text_hf("", hidden=1280, layers=32) | {"text_projection.weight": ()}
    if name == "sdxl_mini":
        known |= dict(tower_aliases("g", big, alone=False).items())
    wrong = []
    for target, spellings in golden.index["keymap"][name]["map"].items():
        inner = target.replace("clip_l.transformer.", "l.").replace("clip_g.transformer.", "g.")
        if inner in set(known.values()):
            wrong += [(s, known.get(s), inner) for s in spellings if known.get(s) != inner]
    assert not wrong[:10]


ATTENTION = "input_blocks.1.1.transformer_blocks.0.attn1"
THEIRS = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
TEXT = "text_model.encoder.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("who", "spelling", "parameter"),
    [
        ("kohya, SD 1", f"lora_unet_{THEIRS}_to_q", f"{ATTENTION}.to_q.weight"),
        ("kohya, SDXL", f"lora_unet_{ATTENTION}_to_q", f"{ATTENTION}.to_q.weight"),
        ("kohya's OFT", f"oft_unet_{ATTENTION}_to_q", f"{ATTENTION}.to_q.weight"),
        ("LyCORIS", f"lycoris_{THEIRS}_to_q", f"{ATTENTION}.to_q.weight"),
        ("OneTrainer", f"lora_transformer_{THEIRS}_to_q", f"{ATTENTION}.to_q.weight"),
        ("diffusers", f"unet.{THEIRS}.to_out.0", f"{ATTENTION}.to_out.0.weight"),
        ("the oldest diffusers", f"{THEIRS}.processor.to_out", f"{ATTENTION}.to_out.0.weight"),
        ("generic", f"diffusion_model.{ATTENTION}.to_q", f"{ATTENTION}.to_q.weight"),
        ("PEFT", f"base_model.model.{THEIRS}.to_q", f"{ATTENTION}.to_q.weight"),
        ("PEFT in a pipeline", f"unet.base_model.model.{THEIRS}.to_q", f"{ATTENTION}.to_q.weight"),
        ("original names alone", f"{ATTENTION}.to_q", f"{ATTENTION}.to_q.weight"),
        ("kohya, text", f"lora_te_{TEXT}", f"l.{TEXT}.weight"),
        ("kohya, SDXL's text", f"lora_te1_{TEXT}", f"l.{TEXT}.weight"),
        ("diffusers, text", f"text_encoder.{TEXT}", f"l.{TEXT}.weight"),
        ("generic, text", f"text_encoders.clip_l.transformer.{TEXT}", f"l.{TEXT}.weight"),
        ("PEFT, text", f"base_model.model.{TEXT}", f"l.{TEXT}.weight"),
    ],
)
def test_each_way_of_naming_a_module(who: str, spelling: str, parameter: str) -> None:
    config = UNetConfig(levels=(Level(1, (1, 1), (1, 1, 1)), Level(2, (0, 0), (0, 0, 0))))
    with torch.device("meta"):
        there = [name for name, _ in UNet(config).named_parameters()]
    known = unet_aliases(config, there) | tower_aliases("l", [f"{TEXT}.weight"], alone=True)
    head, _, _ = spelling.partition("_")
    if head in ("lora", "oft", "lycoris"):
        marks = ("lora_unet_", "oft_unet_", "lycoris_", "lora_transformer_", "lora_te_", "lora_te1_")
        mark = next(m for m in marks if spelling.startswith(m))
        spelling = mark + spelling.removeprefix(mark).replace(".", "_")
    assert known[spelling] == parameter, who


def test_errors_are_of_one_family() -> None:
    from noderack_diffusion import errors

    found = [e for e in vars(errors).values() if isinstance(e, type) and e is not DiffusionError]
    assert all(issubclass(e, DiffusionError) for e in found)
