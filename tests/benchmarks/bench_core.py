"""The core's speed: seconds per step, loading, LoRA, decoding; each ours divided by diffusers' on the same
weights.

Without arguments it uses small random networks. ``BENCH_SIZE=full`` takes SD 1.5's and SDXL's own numbers
(minutes, and 20 GB of memory), ``BENCH_THREADS`` the threads, ``BENCH_ROUNDS`` the rounds. Ours and theirs
run interleaved. The last line is one JSON object: {"bench": "core", "figures": {...}}.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import diffusers
import torch
from noderack_diffusion import names
from noderack_diffusion.checkpoint import load_model, load_vae
from noderack_diffusion.lora import load_lora, patches_for
from noderack_diffusion.unet import Level, UNet, UNetConfig
from noderack_diffusion.vae import AutoencoderKL, VaeConfig
from safetensors.torch import save_file
from torch import Tensor, nn

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
FULL = os.environ.get("BENCH_SIZE", "small") == "full"
CELLS = 64 if FULL else 32
WIDTH = 320 if FULL else 64


def levels(depths: tuple[int, ...], mults: tuple[int, ...]) -> tuple[Level, ...]:
    return tuple(Level(m, (d,) * 2, (d,) * 3) for d, m in zip(depths, mults, strict=True))


FAMILIES = {
    "sd15": UNetConfig(width=WIDTH, levels=levels((1, 1, 1, 0), (1, 2, 4, 4)), context=768, groups=32),
    "sdxl": UNetConfig(
        width=WIDTH,
        levels=levels((0, 2, 10), (1, 2, 4)),
        middle=10,
        context=2048,
        linear_proj=True,
        adm=2816,
        heads=0,
        head_dim=64 if FULL else 32,
    ),
}


def theirs_like(config: UNetConfig) -> nn.Module:
    """Diffusers' network of the same numbers."""
    cross = [any(level.down) for level in config.levels]
    widths = tuple(config.width * level.mult for level in config.levels)
    heads = config.heads or tuple(w // config.head_dim for w in widths)
    extra = {}
    if config.adm:
        extra = {
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": config.adm,
        }
    return diffusers.UNet2DConditionModel(
        sample_size=CELLS,
        block_out_channels=widths,
        down_block_types=tuple("CrossAttnDownBlock2D" if c else "DownBlock2D" for c in cross),
        up_block_types=tuple("CrossAttnUpBlock2D" if c else "UpBlock2D" for c in reversed(cross)),
        transformer_layers_per_block=tuple(max(level.down[0], 1) for level in config.levels),
        layers_per_block=2,
        cross_attention_dim=config.context,
        attention_head_dim=heads,
        **extra,
    ).eval()


def renamed(state: dict[str, Tensor], modules: dict[str, str]) -> dict[str, Tensor]:
    parts = ((key.rpartition("."), value) for key, value in state.items())
    return {f"{modules[path]}.{leaf}": value for (path, _, leaf), value in parts}


def seconds(*jobs: Callable[[], object]) -> list[float]:
    """The least time of each job, all run in turn."""
    best = [float("inf")] * len(jobs)
    for round_ in range(ROUNDS + 1):
        for i, job in enumerate(jobs):
            start = time.perf_counter()
            job()
            taken = time.perf_counter() - start
            best[i] = min(best[i], taken) if round_ else best[i]
    return best


def unet_figures(figures: dict[str, float], family: str, config: UNetConfig, folder: Path) -> None:
    theirs = theirs_like(config)
    state = renamed(theirs.state_dict(), dict(names.unet_modules(config)))
    path = folder / f"{family}.safetensors"
    prefixed = {f"model.diffusion_model.{k}": v.contiguous() for k, v in state.items()}
    told = {"heads": config.heads} if config.heads else {"head_dim": config.head_dim}
    save_file(prefixed, path, {"noderack.config": json.dumps({"unet": told})})
    theirs.save_pretrained(folder / family)
    x, context = torch.randn(2, 4, CELLS, CELLS), torch.randn(2, 77, config.context)
    y = torch.randn(2, config.adm) if config.adm else None
    added = None
    if y is not None:
        added = {"text_embeds": y[:, : config.adm - 6 * 256], "time_ids": torch.ones(2, 6)}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        ours, other = load_model(path, device="cpu", dtype=dtype), theirs.to(dtype)
        sigma = torch.full((2,), 3.0)
        extras = {} if y is None else {"y": y}
        typed = None if added is None else {k: v.to(dtype) for k, v in added.items()}
        with torch.no_grad():
            mine, reference = seconds(
                lambda ours=ours, extras=extras, sigma=sigma: ours.predict(x, sigma, context, **extras),
                lambda other=other, typed=typed, dtype=dtype: other(
                    x.to(dtype), 300, context.to(dtype), added_cond_kwargs=typed
                ),
            )
        figures[f"{family}_{name}"] = mine / reference
        figures[f"{family}_{name}_seconds"] = mine
    if family == "sd15":
        loading(figures, path, folder / family)
        lora(figures, path, folder, config)


def loading(figures: dict[str, float], path: Path, other: Path) -> None:
    mine, reference = seconds(
        lambda: load_model(path, device="cpu").network(),
        lambda: diffusers.UNet2DConditionModel.from_pretrained(other),
    )
    figures["load"] = mine / reference


def lora(figures: dict[str, float], path: Path, folder: Path, config: UNetConfig) -> None:
    model = load_model(path, device="cpu")
    weights = {k: p.dims() for k, p in model.live.pieces.items() if "attn" in k and k.endswith("weight")}
    tensors = {}
    for name, shape in weights.items():
        stem = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
        tensors[f"{stem}.lora_up.weight"] = torch.randn(shape[0], 16)
        tensors[f"{stem}.lora_down.weight"] = torch.randn(16, shape[1])
    file = folder / "lora.safetensors"
    save_file(tensors, file)
    model.network()
    start = time.perf_counter()
    patches, _ = patches_for(load_lora(file), model, 0.8)
    model.with_patches(patches).network()
    figures["lora_apply_seconds"] = time.perf_counter() - start
    x, context = torch.randn(2, 4, CELLS, CELLS), torch.randn(2, 77, config.context)
    sigma = torch.full((2,), 3.0)
    on, off = model.with_patches(patches), model

    def steps(handle: object) -> float:
        handle.network()
        return seconds(lambda: handle.predict(x, sigma, context))[0]

    figures["lora_step"] = steps(on) / steps(off)


def vae_figures(figures: dict[str, float], folder: Path) -> None:
    widths = (128, 256, 512, 512) if FULL else (32, 64, 64)
    config = VaeConfig(width=widths[0], mults=tuple(w // widths[0] for w in widths))
    theirs = diffusers.AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=2,
        norm_num_groups=32,
    ).eval()
    state = renamed(theirs.state_dict(), dict(names.vae_modules(config)))
    shapes = {k: v.shape for k, v in AutoencoderKL(replace(config, groups=32)).state_dict().items()}
    path = folder / "vae.safetensors"
    save_file({k: v.reshape(shapes[k]).contiguous() for k, v in state.items()}, path)
    vae, latent = load_vae(path, device="cpu"), torch.randn(1, 4, CELLS, CELLS)
    with torch.no_grad():
        whole, tiles, reference = seconds(
            lambda: vae.decode(latent),
            lambda: vae.decode_tiled(latent, CELLS // 2, CELLS // 8, compatible=False),
            lambda: theirs.decode(latent).sample,
        )
    figures["vae"], figures["vae_tiled"] = whole / reference, tiles / whole


def gemm(figures: dict[str, float], config: UNetConfig) -> None:
    """Which part of the machine's own matrix rate the network reaches."""
    from torch.utils.flop_counter import FlopCounterMode

    a, b = torch.randn(1024, 1280), torch.randn(1280, 5120)
    (taken,) = seconds(lambda: a @ b)
    with torch.device("meta"):
        network = UNet(config)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network(torch.empty(2, 4, CELLS, CELLS), torch.empty(2), torch.empty(2, 77, config.context))
    rate = counter.get_total_flops() / figures["sd15_fp32_seconds"]
    figures["gemm_fraction"] = rate / (2 * 1024 * 1280 * 5120 / taken)


def main() -> None:
    torch.set_num_threads(int(os.environ.get("BENCH_THREADS", str(torch.get_num_threads()))))
    torch.manual_seed(0)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for family, config in FAMILIES.items():
            unet_figures(figures, family, config, folder)
        vae_figures(figures, folder)
        gemm(figures, FAMILIES["sd15"])
        biggest = max(p.stat().st_size for p in folder.glob("*.safetensors"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        figures["rss_over_file"] = peak / biggest
    sys.stdout.write(
        json.dumps({"bench": "core", "figures": {k: round(v, 4) for k, v in figures.items()}}) + "\n"
    )


if __name__ == "__main__":
    main()
