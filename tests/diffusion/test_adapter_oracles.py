"""Adapters against the trainers that write them: LyCORIS module by module, PEFT by its files."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_diffusion.lora import group, load_lora
from noderack_diffusion.patch import Patch, apply
from noderack_diffusion.soundness import algorithms
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

LAYERS = {
    "linear": lambda: nn.Linear(24, 32),
    "point": lambda: nn.Conv2d(16, 32, 1),
    "window": lambda: nn.Conv2d(16, 32, 3, padding=1),
}
# module, class, options, whether it agrees at other strengths than 1 too: where it does not, the trainer's
# form is not linear in the strength, and ours is (see noderack_diffusion.adapters)
KINDS: list[tuple[str, str, dict[str, Any], bool]] = [
    ("locon", "LoConModule", {}, True),
    ("locon", "LoConModule", {"use_tucker": True}, True),
    ("locon", "LoConModule", {"rs_lora": True}, True),
    ("locon", "LoConModule", {"use_scalar": True}, True),
    ("locon", "LoConModule", {"weight_decompose": True}, False),
    ("locon", "LoConModule", {"weight_decompose": True, "wd_on_out": False}, False),
    ("loha", "LohaModule", {}, True),
    ("loha", "LohaModule", {"use_tucker": True}, True),
    ("loha", "LohaModule", {"weight_decompose": True}, False),
    ("lokr", "LokrModule", {"factor": 4}, True),
    ("lokr", "LokrModule", {"factor": 4, "decompose_both": True}, True),
    ("lokr", "LokrModule", {"factor": 4, "use_tucker": True}, True),
    ("lokr", "LokrModule", {"factor": 4, "full_matrix": True}, True),
    ("lokr", "LokrModule", {"factor": 4, "weight_decompose": True}, False),
    ("diag_oft", "DiagOFTModule", {}, True),
    ("diag_oft", "DiagOFTModule", {"constraint": 0.5}, True),
    ("diag_oft", "DiagOFTModule", {"rescaled": True}, False),
    ("boft", "ButterflyOFTModule", {}, False),
    ("boft", "ButterflyOFTModule", {"rescaled": True}, False),
    ("glora", "GLoRAModule", {}, True),
    ("ia3", "IA3Module", {}, True),
    ("ia3", "IA3Module", {"train_on_input": True}, True),
]


def run(layer: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    bias: Any = layer.bias
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(x, weight, bias, padding=layer.padding)  # type: ignore[arg-type]
    return F.linear(x, weight, bias)


@torch.no_grad()
@pytest.mark.parametrize(("module", "name", "options", "linear"), KINDS)
@pytest.mark.parametrize("kind", LAYERS)
def test_as_lycoris_trained_it(
    module: str, name: str, options: dict[str, Any], linear: bool, kind: str
) -> None:
    pytest.importorskip("lycoris", reason="the trainer LyCORIS (lycoris-lora) is not installed")
    import importlib

    torch.manual_seed(4)
    layer = LAYERS[kind]()
    weight: Tensor = layer.weight.detach().clone()  # type: ignore[union-attr]
    found = importlib.import_module(f"lycoris.modules.{module}")
    made = getattr(found, name)("x", layer, multiplier=1.0, lora_dim=4, alpha=2.0, **options)
    made.apply_to()
    made.eval()
    for _, p in made.named_parameters():
        p.add_(torch.randn_like(p) * 0.2)
    if options.get("weight_decompose"):
        made.dora_scale.copy_(made.dora_scale.abs() + 0.5)
    state = made.custom_state_dict() or made.state_dict()
    stems = group({f"x.{key}": value.detach().clone() for key, value in state.items()})
    rows = algorithms(stems["x"])
    assert rows
    x = torch.randn(2, 24) if kind == "linear" else torch.randn(2, 16, 6, 6)
    plain = run(layer, x, weight)
    for strength in (1.0, 0.5, -1.0) if linear else (1.0,):
        made.multiplier = strength
        wanted = made(x)
        got = run(
            layer, x, apply(weight, [Patch("x", r.build(stems["x"], False), "a", strength) for r in rows])
        )
        assert (got - wanted).norm() < 1e-4 * (wanted - plain).norm(), strength


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {"alpha_pattern": {"to_k": 12}},
    ],
    ids=["plain", "rslora", "dora", "alpha pattern"],
)
def test_as_peft_trained_it(options: dict[str, Any], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the library peft is not installed")
    torch.manual_seed(4)
    layers = {"to_k": nn.Linear(16, 24), "to_q": nn.Linear(16, 16), "conv": nn.Conv2d(8, 8, 3)}
    net = nn.ModuleDict({"attn": nn.ModuleDict(layers)})
    weights = {name: layer.get_parameter("weight").detach().clone() for name, layer in layers.items()}
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=list(layers), **options)
    made = peft.get_peft_model(net, config)
    for name, p in made.named_parameters():
        if "lora_" in name:
            p.add_(torch.randn_like(p) * 0.2 + (0.5 if "magnitude" in name else 0.0))
    made.save_pretrained(tmp_path)
    lora = load_lora(tmp_path / "adapter_model.safetensors")
    merged = made.merge_and_unload()
    for name, weight in weights.items():
        parts = lora.stems[f"base_model.model.attn.{name}"]
        got = apply(weight, [Patch("x", r.build(parts, False), "a") for r in algorithms(parts)])
        assert torch.allclose(got, merged["attn"][name].weight, atol=1e-5), name


def test_alpha_of_each_part_of_a_pipeline_and_by_pattern(tmp_path: Path) -> None:
    stems = ("unet.a.to_k", "unet.a.to_q", "text_encoder.a.to_k")
    tensors = {f"{stem}.lora_A.weight": torch.ones(4, 8) for stem in stems}
    tensors |= {f"{stem}.lora_B.weight": torch.ones(8, 4) for stem in stems}
    told = {"unet.lora_alpha": 8, "unet.alpha_pattern": {"to_q": 2}, "text_encoder.lora_alpha": 1}
    told |= {"text_encoder.use_rslora": True}
    save_file(tensors, tmp_path / "x.safetensors", {"lora_adapter_metadata": json.dumps(told)})
    found = load_lora(tmp_path / "x.safetensors").stems
    assert [float(found[stem]["alpha"]) for stem in stems] == [8.0, 2.0, math.sqrt(4)]
