"""Runs the cases under a ComfyUI folder: PYTHON peer.py COMFYUI; writes expected.json."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [sys.argv[1], str(HERE), str(HERE.parent / "patching")]
sys.argv = ["main.py", "--cpu"]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.hooks  # noqa: E402
import comfy.lora  # noqa: E402
import comfy.model_base  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.supported_models  # noqa: E402
import ground  # noqa: E402
import torch  # noqa: E402
from scenarios import filled  # noqa: E402

CONFIG = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "num_heads": 4, "use_spatial_transformer": True, "context_dim": 16,
    "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1], "transformer_depth_middle": 1,
    "use_linear_in_transformer": False, "legacy": False, "dtype": torch.float32,
}  # fmt: skip


def model():
    config = comfy.supported_models.SD15(CONFIG)
    config.manual_cast_dtype = None
    made = comfy.model_base.BaseModel(config, device="cpu")
    network = made.diffusion_model
    network.load_state_dict(filled({k: v.shape for k, v in network.state_dict().items()}))
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    return comfy.model_patcher.ModelPatcher(made, torch.device("cpu"), torch.device("cpu")), shapes


def hooks(names, shapes, cache):
    group = None
    for name in names:
        if name not in cache:
            number, strength, frames = ground.HOOKS[name]
            cache[name] = comfy.hooks.create_hook_lora(ground.adapter(number, shapes), strength, 0.0)
            if frames:
                keyframes = comfy.hooks.HookKeyframeGroup()
                for start, factor in frames:
                    keyframes.add(comfy.hooks.HookKeyframe(factor, start_percent=start))
                cache[name].set_keyframes_on_hooks(keyframes)
        group = cache[name] if group is None else group.clone_and_combine(cache[name])
    return group


def entries(rows, shapes, cache):
    found = []
    for row in rows:
        told = {}
        if "hooks" in row:
            told["hooks"] = hooks(row["hooks"], shapes, cache)
        if "range" in row:
            told["start_percent"], told["end_percent"] = row["range"]
        found.append([ground.text(row["text"]), told])
    return found


def run(case):
    handle, shapes = model()
    cache = {}
    if "model" in case:
        number, strength, _ = ground.HOOKS[case["model"]]
        handle, _ = comfy.sd.load_lora_for_models(handle, None, ground.adapter(number, shapes), strength, 0)
    if case.get("wrapped"):
        handle = handle.clone()
        handle.set_model_sampler_post_cfg_function(lambda args: args["denoised"] * 1.0)
    yes, no = (entries(case[side], shapes, cache) for side in ("positive", "negative"))
    latent = torch.zeros(1, 4, 8, 8)
    noise = comfy.sample.prepare_noise(latent, 7)
    return comfy.sample.sample(
        handle, noise, case.get("steps", 4), 5.0, case.get("sampler", "euler"), "normal", yes, no, latent,
        denoise=1.0, seed=7, disable_pbar=True,
    )  # fmt: skip


cases = json.loads((HERE / "cases.json").read_text())
with torch.no_grad():
    found = {name: run(case).flatten() for name, case in cases.items()}
rows = (f'"{name}": {json.dumps([round(float(x), 3) for x in value])}' for name, value in found.items())
(HERE / "expected.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
