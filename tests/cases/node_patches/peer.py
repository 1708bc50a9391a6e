"""Runs the cases under a ComfyUI folder: PYTHON peer.py COMFYUI; writes expected.json."""

import asyncio
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [sys.argv[1], str(HERE.parent / "patching")]
sys.argv = ["main.py", "--cpu"]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.model_base  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.supported_models  # noqa: E402
import nodes  # noqa: E402
import torch  # noqa: E402
from scenarios import draw, filled, text  # noqa: E402

CONFIG = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "num_heads": 4, "use_spatial_transformer": True, "context_dim": 16,
    "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1], "transformer_depth_middle": 1,
    "use_linear_in_transformer": False, "legacy": False, "dtype": torch.float32,
}  # fmt: skip


def given(value):
    if isinstance(value, str) and value.startswith("text:"):
        return text(int(value[5:]))
    return call(*value) if isinstance(value, list) else value


def call(name, inputs):
    node = nodes.NODE_CLASS_MAPPINGS[name]
    done = getattr(node(), node.FUNCTION)(**{k: given(v) for k, v in inputs.items()})
    return (done.result if hasattr(done, "result") else done)[0]


def model():
    config = comfy.supported_models.SD15(CONFIG)
    config.manual_cast_dtype = None
    made = comfy.model_base.BaseModel(config, device="cpu")
    network = made.diffusion_model
    network.load_state_dict(filled({k: v.shape for k, v in network.state_dict().items()}))
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(made, cpu, cpu)


def main():
    asyncio.run(nodes.init_builtin_extra_nodes())
    rows = []
    for name, steps in json.loads((HERE / "cases.json").read_text()).items():
        patcher = model()  # weights that were patched stay so for a while
        with torch.no_grad():
            for node, inputs in steps:
                patcher = call(node, {**inputs, "model": patcher})
            latent = draw(patcher).flatten()
        rows.append(f'"{name}": {json.dumps([round(float(x), 3) for x in latent])}')
    (HERE / "expected.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


main()
