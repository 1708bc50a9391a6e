"""One side of bench_core, in a process of its own: prepares a job, then runs it once for each line on stdin.

    python core_side.py ours|diffusers|peer JOB '{"path": …, "dtype": …, "cells": …}'

Answers each line with {"seconds": …, "peak": bytes that were resident at most, "base": … before the job,
"private": bytes that are resident now and lie in no file}.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Job = Callable[[], object]


def given(told: dict[str, Any], cells: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    torch.manual_seed(1)
    y = torch.randn(2, told["adm"]) if told["adm"] else None
    return torch.randn(2, 4, cells, cells), torch.randn(2, 77, told["context"]), y


# ours


def our_step(told: dict[str, Any]) -> Job:
    from noderack_diffusion.checkpoint import load_model

    model = load_model(told["path"], device="cpu", dtype=DTYPES[told["dtype"]])
    x, text, y = given(told, told["cells"])
    sigma = torch.full((2,), 3.0)
    if told.get("lora"):
        from noderack_diffusion.lora import load_lora, patches_for

        model = model.with_patches(patches_for(load_lora(told["lora"]), model, 0.8)[0])
    return lambda: model.predict(x, sigma, text, **({} if y is None else {"y": y}))


def our_load(told: dict[str, Any]) -> Job:
    from noderack_diffusion.checkpoint import load_checkpoint

    x, text, _ = given(told, 8)

    def load() -> None:
        found = load_checkpoint(told["path"], device="cpu")
        found.model.network()
        if found.clip and found.vae:
            found.clip.network(found.clip.towers[0]), found.vae.network()
        if told["answer"]:
            found.model.predict(x, torch.full((2,), 3.0), text)
        if told["answer"] and found.clip:
            found.clip.encode("a picture")

    return load


def our_lora(told: dict[str, Any]) -> Job:
    from noderack_diffusion.checkpoint import load_checkpoint
    from noderack_diffusion.lora import load_lora, patches_for

    found = load_checkpoint(told["path"], device="cpu")
    model, clip = found.model, found.clip
    assert clip is not None
    strength = iter(range(1, 1000))
    model.network(), clip.network(clip.towers[0])

    def put_on() -> None:
        lora, by = load_lora(told["lora"]), next(strength) / 100
        model.with_patches(patches_for(lora, model, by)[0]).network()
        on = clip.with_patches(patches_for(lora, clip, by)[0])
        on.network(on.towers[0])

    return put_on


def our_vae(told: dict[str, Any]) -> Job:
    from noderack_diffusion.checkpoint import load_vae

    vae, latent = load_vae(told["path"], device="cpu"), torch.randn(1, 4, told["cells"], told["cells"])
    if told.get("tile"):
        return lambda: vae.decode_tiled(latent, told["tile"], told["tile"] // 4, mode=told["mode"])
    return lambda: vae.decode(latent)


def gemm(told: dict[str, Any]) -> Job:
    a, b = torch.randn(1024, 1280), torch.randn(1280, 5120)
    out = torch.empty(1024, 5120)
    return lambda: [torch.mm(a, b, out=out) for _ in range(20)]


# diffusers


def their_unet(told: dict[str, Any]) -> torch.nn.Module:
    import diffusers
    from core_files import unet
    from noderack_diffusion import names
    from safetensors.torch import load_file

    config = unet(told["family"], told["width"])
    widths = tuple(config.width * level.mult for level in config.levels)
    cross = [any(level.down) for level in config.levels]
    extra = {}
    if config.adm:
        extra = {
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": config.adm,
        }
    with torch.device("meta"):
        network = diffusers.UNet2DConditionModel(
            block_out_channels=widths,
            down_block_types=tuple("CrossAttnDownBlock2D" if c else "DownBlock2D" for c in cross),
            up_block_types=tuple("CrossAttnUpBlock2D" if c else "UpBlock2D" for c in reversed(cross)),
            transformer_layers_per_block=tuple(max(level.down[0], 1) for level in config.levels),
            cross_attention_dim=config.context,
            attention_head_dim=config.heads or tuple(w // config.head_dim for w in widths),
            **extra,
        ).eval()
    state, renamed = load_file(told["path"]), dict(names.unet_modules(config))
    own = {}
    for name in network.state_dict():
        module, _, leaf = name.rpartition(".")
        own[name] = state[f"model.diffusion_model.{renamed[module]}.{leaf}"]
    network.load_state_dict(own, assign=True)
    return network


def their_step(told: dict[str, Any]) -> Job:
    from noderack_diffusion.devices import cpu_has_bf16

    dtype = DTYPES[told["dtype"] if cpu_has_bf16() else "fp32"]
    network = their_unet(told).to(dtype)
    x, text, y = given(told, told["cells"])
    added = None
    if y is not None:
        added = {"text_embeds": y[:, : y.shape[1] - 6 * 256].to(dtype), "time_ids": torch.ones(2, 6)}
    x, text = x.to(dtype), text.to(dtype)
    return lambda: network(x, 300, text, added_cond_kwargs=added)


def their_load(told: dict[str, Any]) -> Job:
    """From a folder as diffusers keeps it, the network alone."""
    import diffusers

    folder = Path(told["path"]).with_suffix(".diffusers")
    if not folder.exists():
        their_unet(told).save_pretrained(folder)
    x, text, _ = given(told, 8)

    def load() -> None:
        network = diffusers.UNet2DConditionModel.from_pretrained(folder, torch_dtype=torch.float32)
        if told["answer"]:
            network(x, 300, text)

    return load


def their_vae(told: dict[str, Any]) -> Job:
    import diffusers

    network = diffusers.AutoencoderKL(
        block_out_channels=tuple(told["widths"]),
        down_block_types=("DownEncoderBlock2D",) * len(told["widths"]),
        up_block_types=("UpDecoderBlock2D",) * len(told["widths"]),
        layers_per_block=2,
    ).eval()
    latent = torch.randn(1, 4, told["cells"], told["cells"])
    return lambda: network.decode(latent).sample


# the peer host, run by its own Python from its checkout


def peer_step(told: dict[str, Any]) -> Job:
    import comfy.model_management as management
    import comfy.sd

    model = comfy.sd.load_checkpoint_guess_config(told["path"], output_vae=False, output_clip=False)[0]
    management.load_models_gpu([model])
    x, text, y = given(told, told["cells"])
    more = {} if y is None else {"y": y}
    return lambda: model.model.apply_model(x, torch.full((2,), 3.0), c_crossattn=text, **more)


def peer_load(told: dict[str, Any]) -> Job:
    import comfy.model_management as management
    import comfy.sd

    x, text, _ = given(told, 8)

    def load() -> None:
        model, clip, _, _ = comfy.sd.load_checkpoint_guess_config(told["path"])
        management.load_models_gpu([model, clip.patcher])
        if told["answer"]:
            model.model.apply_model(x, torch.full((2,), 3.0), c_crossattn=text)
            clip.encode_from_tokens(clip.tokenize("a picture"))
        management.unload_all_models()

    return load


def peer_lora(told: dict[str, Any]) -> Job:
    import comfy.model_management as management
    import comfy.sd
    import comfy.utils

    model, clip, _, _ = comfy.sd.load_checkpoint_guess_config(told["path"])
    management.load_models_gpu([model, clip.patcher])
    strength = iter(range(1, 1000))

    def put_on() -> None:
        by = next(strength) / 100
        on = comfy.sd.load_lora_for_models(model, clip, comfy.utils.load_torch_file(told["lora"]), by, by)
        management.load_models_gpu([on[0], on[1].patcher], force_full_load=True)

    return put_on


JOBS: dict[str, dict[str, Callable[[dict[str, Any]], Job]]] = {
    "ours": {"step": our_step, "load": our_load, "lora": our_lora, "vae": our_vae, "gemm": gemm},
    "diffusers": {"step": their_step, "load": their_load, "vae": their_vae},
    "peer": {"step": peer_step, "load": peer_load, "lora": peer_lora},
}


def resident(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024


def main(side: str, job: str, told: dict[str, Any]) -> None:
    sys.argv = sys.argv[:1]
    if side == "peer":
        sys.path.insert(0, told["peer"])
        import comfy.options

        sys.argv += ["--cpu"]
        comfy.options.enable_args_parsing()
    torch.set_num_threads(told["threads"])
    clock = time.process_time if told["clock"] == "cpu" else time.perf_counter
    base = resident("VmRSS")
    with torch.no_grad():
        run = JOBS[side][job](told)
        print("ready", flush=True)
        for _ in sys.stdin:
            start = clock()
            run()
            seconds = clock() - start
            peak = resident("VmHWM")  # what getrusage says counts the process that started this one, too
            said = {"seconds": seconds, "base": base, "peak": peak, "private": resident("RssAnon")}
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
