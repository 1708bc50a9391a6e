"""Runs the scenarios under a ComfyUI folder: PYTHON peer.py COMFYUI [OUT]; writes expected.json."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [sys.argv[1], str(HERE)]
out = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "expected.json"
sys.argv = ["main.py", "--cpu"]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.model_base  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.supported_models  # noqa: E402
import torch  # noqa: E402
from scenarios import SCENARIOS, filled  # noqa: E402

CONFIG = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "num_heads": 4, "use_spatial_transformer": True, "context_dim": 16,
    "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1], "transformer_depth_middle": 1,
    "use_linear_in_transformer": False, "legacy": False, "dtype": torch.float32,
}  # fmt: skip


def main():
    config = comfy.supported_models.SD15(CONFIG)
    config.manual_cast_dtype = None
    model = comfy.model_base.BaseModel(config, device="cpu")
    network = model.diffusion_model
    network.load_state_dict(filled({k: v.shape for k, v in network.state_dict().items()}))
    cpu = torch.device("cpu")
    patcher = comfy.model_patcher.ModelPatcher(model, cpu, cpu)
    with torch.no_grad():
        found = {name: run(patcher.clone()).flatten() for name, run in SCENARIOS.items()}
    rows = (f'"{name}": {json.dumps([round(float(x), 3) for x in value])}' for name, value in found.items())
    out.write_text("{\n" + ",\n".join(rows) + "\n}\n")


main()
