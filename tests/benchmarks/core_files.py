"""Weights files for bench_core: random numbers in the shapes of real models, written once and kept."""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from noderack_diffusion.clip import ClipConfig, ClipText
from noderack_diffusion.unet import Level, UNet, UNetConfig
from noderack_diffusion.vae import AutoencoderKL, VaeConfig
from torch import Tensor

CLIP, VAE, RANK = ClipConfig(), VaeConfig(), 16
DTYPES = {"fp32": (torch.float32, "F32"), "bf16": (torch.bfloat16, "BF16")}
Shape = tuple[int, ...]
_TOWERS = {
    "cond_stage_model.transformer.": "lora_te_",
    "conditioner.embedders.0.transformer.": "lora_te1_",
}


def levels(depths: Shape, mults: Shape) -> tuple[Level, ...]:
    return tuple(Level(m, (d,) * 2, (d,) * 3) for d, m in zip(depths, mults, strict=True))


def unet(family: str, width: int) -> UNetConfig:
    """SD 1.5's or SDXL's network, at their own width (320) or a smaller one."""
    if family == "sd15":
        return UNetConfig(width=width, levels=levels((1, 1, 1, 0), (1, 2, 4, 4)), context=768)
    return UNetConfig(
        width=width,
        levels=levels((0, 2, 10), (1, 2, 4)),
        middle=10,
        context=2048,
        linear_proj=True,
        adm=2816,
        heads=0,
        head_dim=64,
    )


def shapes(family: str, width: int) -> dict[str, Shape]:
    """The names and shapes of a checkpoint; SDXL's here is the network alone."""
    config = unet(family, width)
    with torch.device("meta"):
        parts = {"model.diffusion_model.": UNet(config)}
        if family == "sd15":
            parts |= {
                "cond_stage_model.transformer.": ClipText(CLIP),
                "first_stage_model.": AutoencoderKL(VAE),
            }
    return {f"{at}{k}": tuple(v.shape) for at, part in parts.items() for k, v in part.state_dict().items()}


def lora_shapes(family: str, width: int) -> dict[str, Shape]:
    """An adapter of rank 16 on every attention, feed-forward and projection of network and text tower."""
    return adapter_for(shapes(family, width))


def adapter_for(checkpoint: Mapping[str, Shape]) -> dict[str, Shape]:
    """The same for any checkpoint whose first text tower has Hugging Face's names."""
    found: dict[str, Shape] = {}
    for name, shape in checkpoint.items():
        stem = name.removesuffix(".weight")
        unet_part, text_part = "transformer_blocks" in name or "proj_" in name, ".layers." in name
        if not name.endswith("weight") or len(shape) < 2 or not (unet_part or text_part):
            continue
        if name.startswith("model."):
            stem = "lora_unet_" + stem.removeprefix("model.diffusion_model.").replace(".", "_")
        elif tower := next((t for t in _TOWERS if name.startswith(t)), None):
            stem = _TOWERS[tower] + stem.removeprefix(tower).replace(".", "_")
        else:
            continue
        ones = (1,) * (len(shape) - 2)
        found[f"{stem}.lora_up.weight"] = (shape[0], RANK, *ones)
        found[f"{stem}.lora_down.weight"] = (RANK, shape[1], *ones)
    return found


def changed_by_lora(family: str, width: int) -> int:
    """How many numbers of the network that adapter changes."""
    found = shapes(family, width)
    changed = {name.split(".")[0] for name in adapter_for(found) if name.startswith("lora_unet_")}
    at = "model.diffusion_model."
    spelled = {n.removeprefix(at).removesuffix(".weight").replace(".", "_"): s for n, s in found.items()}
    return sum(torch.Size(spelled[name.removeprefix("lora_unet_")]).numel() for name in changed)


def made(wanted: Mapping[str, Shape], path: Path, dtype: str) -> Path:
    """Write tensors of these shapes, one after the other, unless the file is there."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    kind, code = DTYPES[dtype]
    header, place = {}, 0
    for name, shape in wanted.items():
        size = torch.Size(shape).numel() * kind.itemsize
        header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for tensor in _random(wanted, kind):
            file.write(memoryview(tensor.flatten().view(torch.uint8).numpy()))
    return part.rename(path)


def _random(wanted: Mapping[str, Shape], kind: torch.dtype) -> Iterator[Tensor]:
    torch.manual_seed(0)
    for name, shape in wanted.items():
        fan = torch.Size(shape[1:]).numel()
        if len(shape) == 1:
            value = torch.full(shape, float(name.endswith("weight")))
        else:
            value = (
                torch.empty(shape).uniform_(-1, 1).mul_((3.0 / fan) ** 0.5 * (0.2 if "lora" in name else 1))
            )
        yield value.to(kind)


def checkpoint(folder: Path, family: str, width: int, dtype: str) -> Path:
    return made(shapes(family, width), folder / f"{family}-{width}-{dtype}.safetensors", dtype)


def lora(folder: Path, family: str, width: int) -> Path:
    return made(lora_shapes(family, width), folder / f"{family}-{width}-lora.safetensors", "bf16")
