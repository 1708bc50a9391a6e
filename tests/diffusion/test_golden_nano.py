"""Whole sampling runs on tiny random networks, against the reference."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from noderack_diffusion.checkpoint import load_model
from noderack_diffusion.clip import ClipText, clip_config
from noderack_diffusion.lora import load_lora, patches_for
from noderack_diffusion.model import Model
from noderack_diffusion.sampling_run import sample
from noderack_diffusion.shapes import shapes_of
from noderack_diffusion.sigma import standard
from noderack_diffusion.spec import FAMILIES, ModelSpec
from noderack_diffusion.unet import UNet, unet_config
from noderack_diffusion.vae import AutoencoderKL, vae_config
from safetensors.torch import save_file
from torch import Tensor

from .conftest import Golden, made, made_state

PREFIX = "model.diffusion_model."


class Fixed:
    """A network that is already there, in place of one that comes out of a file."""

    def __init__(self, network: UNet) -> None:
        self.network, self.key, self.dtype, self.device = network, "fixed", torch.float32, torch.device("cpu")
        self.shared: dict[str, object] = {}

    def run(self, patches: object, activations: int, work: Callable[[UNet], Tensor], *_: object) -> Tensor:
        return work(self.network)

    def use(self, patches: object) -> UNet:
        return self.network


def unet(golden: Golden, layouts: ModuleType, name: str) -> UNet:
    state = made_state(layouts.unet(golden.index["nano"]["format"][name], prefix=PREFIX), PREFIX)
    network = UNet(unet_config(shapes_of(state)))
    network.load_state_dict(state)
    return network.eval()


@pytest.fixture(scope="module")
def nano15(golden: Golden, layouts: ModuleType) -> Model:
    network = unet(golden, layouts, "nano15")
    family = next(f for f in FAMILIES if f.name == "sd1")
    return Model(ModelSpec(family, network.config, None, ""), Fixed(network), standard())


@pytest.mark.parametrize("size", ["16x16", "9x13"])
@pytest.mark.parametrize("name", ["nano15", "nanoxl"])
def test_forward(name: str, size: str, golden: Golden, layouts: ModuleType) -> None:
    case = golden.index["nano"][f"forward/{name}/{size}"]
    y = golden.tensor(case["y"]) if case["y"] else None
    with torch.no_grad():
        out = unet(golden, layouts, name)(
            golden.tensor(case["x"]), torch.tensor(case["timesteps"]), golden.tensor(case["context"]), y
        )
    assert close(out, golden.tensor(case["out"]), 5e-5)


def test_vae(golden: Golden, layouts: ModuleType) -> None:
    prefix = "first_stage_model."
    state = made_state(layouts.vae_kl(prefix, ch=32, mult=(1, 2, 2, 2), nrb=1), prefix)
    network = AutoencoderKL(vae_config(shapes_of(state)))
    network.load_state_dict(state)
    decode, encode = golden.index["nano"]["vae/decode"], golden.index["nano"]["vae/encode"]
    with torch.no_grad():
        assert close(network.decode(golden.tensor(decode["z"])), golden.tensor(decode["out"]), 2e-5)
        assert close(network.encode(golden.tensor(encode["x"])), golden.tensor(encode["out"]), 2e-5)


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_text_tower(act: str, golden: Golden, layouts: ModuleType) -> None:
    case = golden.index["nano"][f"clip/{act}"]
    state = made_state(layouts.clip_text_hf("", hidden=64, layers=3, inter=256))
    network = ClipText(clip_config(shapes_of(state), {"heads": 4, "quick_gelu": act == "quick_gelu"}))
    network.load_state_dict(state)
    with torch.no_grad():
        last, skipped = (network(torch.tensor([case["ids"]]), layer=n) for n in (-1, -2))
    assert close(last.hidden, golden.tensor(case["last"]), 2e-5)
    assert close(skipped.hidden, golden.tensor(case["hidden"]), 2e-5)
    assert close(last.pooled, golden.tensor(case["pooled"]), 2e-5)


def close(got: Tensor, want: Tensor, tolerance: float) -> bool:
    assert got.shape == want.shape
    return float((got - want).abs().max()) <= tolerance * max(1.0, float(want.abs().max()))


def box() -> Tensor:
    mask = torch.zeros(1, 128, 192)
    mask[:, 32:96, 48:144] = 1.0
    return mask


def soft() -> Tensor:
    return made("nano.softmask", [1, 16, 24], 0.5, 0.5)


def lists(name: str, c: dict[str, Tensor]) -> tuple[list, list]:
    """(positive, negative) of a case, as its text says."""
    zero, two, no = c["cond0"], c["cond2"], [[c["cond1"], {}]]
    positive = {
        "long_cond": [[c["cond_long"], {}]],
        "two_pos": [[zero, {}], [two, {}]],
        "strength": [[zero, {"strength": 0.5}], [two, {"strength": 1.5}]],
        "area2": [[zero, {"area": (16, 12, 0, 0)}], [two, {"area": (16, 12, 0, 12)}]],
        "area_overlap": [
            [zero, {"area": (12, 16, 0, 0), "strength": 0.8}],
            [two, {"area": (12, 16, 4, 8), "strength": 1.3}],
            [c["cond1"], {}],
        ],
        "area_percent": [[zero, {"area": ("percentage", 0.5, 0.6, 0.25, 0.2)}], [two, {}]],
        "mask": [[zero, {"mask": box()}], [two, {}]],
        "mask_strength": [
            [zero, {"mask": box(), "mask_strength": 0.6}],
            [two, {"mask": 1.0 - box(), "mask_strength": 1.2}],
        ],
        "mask_bounds": [[zero, {"mask": box(), "set_area_to_bounds": True}], [two, {}]],
        "mask_soft": [[zero, {"mask": soft()}], [two, {}]],
        "timestep_range": [
            [zero, {"start_percent": 0.0, "end_percent": 0.5}],
            [two, {"start_percent": 0.5, "end_percent": 1.0}],
        ],
    }
    return positive.get(name, [[zero, {}]]), no


OPTIONS = {
    "noise_inds": {"batch_index": [3, 1]},
    "inpaint": {"noise_mask": box()[None]},
    "inpaint_ddim": {"noise_mask": box()[None]},
    "advanced_part1": {"start": 0, "end": 2},
    "advanced_full": {"start": 0, "end": 2, "finish": True},
    "advanced_part2": {"start": 2, "end": 10000},
}
CASES = [
    *(
        "txt2img",
        "cfg1",
        "ddim",
        "batch2",
        "noise_inds",
        "long_cond",
        "two_pos",
        "strength",
        "area2",
        "area_overlap",
    ),
    *("area_percent", "mask", "mask_strength", "mask_bounds", "mask_soft", "timestep_range", "img2img"),
    *("inpaint", "inpaint_soft", "inpaint_ddim", "advanced_part1", "advanced_full", "advanced_part2"),
    *("euler_ancestral", "dpmpp_2m_sde", "uni_pc"),
]


@pytest.mark.parametrize("name", CASES)
def test_sampling_run(name: str, golden: Golden, nano15: Model) -> None:
    case = golden.index["nano"][f"pipe/{name}"]
    conds = {k: golden.tensor(v) for k, v in case["conds"].items()}
    positive, negative = lists(name, conds)
    shape = case["out"]["shape"]
    latent = torch.zeros(shape) if "zeros" in case["latent"] else made("nano.latent", shape, 0.0, 5.0)
    options = OPTIONS.get(name, {})
    if name == "inpaint_soft":
        options = {"noise_mask": soft()[None]}
    out = sample(
        nano15,
        latent=latent,
        positive=positive,
        negative=negative,
        cfg=case["cfg"],
        sampler=case["sampler_name"],
        scheduler=case["scheduler"],
        steps=case["steps"],
        denoise=case["denoise"],
        seed=case["seed"],
        **options,
    )
    assert math.isfinite(float(out.sum()))
    assert close(out, golden.tensor(case["out"]), 1e-4)


def lora(modules: list[tuple[str, int, int, bool]]) -> dict[str, Tensor]:
    """Rank 4 and alpha 2 on every module, as the case's text has it."""
    found = {}
    for name, outer, inner, is_conv in modules:
        tail = [1, 1] if is_conv else []
        found[f"{name}.lora_down.weight"] = made(f"{name}.down", [4, inner, *tail], 0.0, (3 / inner) ** 0.5)
        found[f"{name}.lora_up.weight"] = made(f"{name}.up", [outer, 4, *tail], 0.0, 0.3)
        found[f"{name}.alpha"] = torch.tensor(2.0)
    return found


@pytest.mark.parametrize(
    ("name", "strengths"), [("lora0.8", [0.8]), ("lora0.8-0.3", [0.8, -0.3]), ("after_lora", [])]
)
def test_lora_run(
    name: str, strengths: list[float], golden: Golden, layouts: ModuleType, tmp_path: Path
) -> None:
    case, numbers = golden.index["nano"][f"pipe/{name}"], golden.index["nano"]["format"]["nano15"]
    save_file(made_state(layouts.unet(numbers, prefix=PREFIX)), tmp_path / "model.safetensors")
    targets = sys.modules["make_checkpoints"].lora_targets(numbers, clip=False)
    save_file(lora(targets), tmp_path / "lora.safetensors")
    base = load_model(tmp_path / "model.safetensors", dtype=torch.float32)
    model = base
    for strength in strengths:
        patches, report = patches_for(load_lora(tmp_path / "lora.safetensors"), model, strength)
        assert not report.unmatched
        model = model.with_patches(patches)
    conds = {k: golden.tensor(v) for k, v in case["conds"].items()}
    if not strengths:  # what was patched before leaves no trace
        patches, _ = patches_for(load_lora(tmp_path / "lora.safetensors"), base, 0.8)
        base.with_patches(patches).network()
    out = sample(
        model,
        latent=torch.zeros(case["out"]["shape"]),
        positive=[[conds["cond0"], {}]],
        negative=[[conds["cond1"], {}]],
        cfg=case["cfg"],
        sampler=case["sampler_name"],
        scheduler=case["scheduler"],
        steps=case["steps"],
        seed=case["seed"],
    )
    assert close(out, golden.tensor(case["out"]), 1e-4)
