"""Runs calls.py under a ComfyUI folder: PYTHON calls_peer.py COMFYUI CHECKPOINT; writes calls.json."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
checkpoint = sys.argv[2]
sys.path[:0] = [sys.argv[1], str(HERE)]
sys.argv = ["main.py", "--cpu"]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import torch  # noqa: E402
from calls import calls  # noqa: E402

with torch.inference_mode():
    found = calls(checkpoint)
rows = (f'"{name}": {json.dumps(value)}' for name, value in found.items())
(HERE / "calls.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
