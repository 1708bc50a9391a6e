"""Runs the cases under a ComfyUI folder: PYTHON peer.py COMFYUI; writes expected.json (digests of outputs)."""

import asyncio
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [sys.argv[1], str(HERE)]
sys.argv = ["main.py", "--cpu"]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import nodes  # noqa: E402
from cases import CASES  # noqa: E402
from digest import digest  # noqa: E402


def main():
    asyncio.run(nodes.init_builtin_extra_nodes())
    rows = []
    for name, (kind, inputs) in CASES.items():
        node = nodes.NODE_CLASS_MAPPINGS[kind]
        done = getattr(node(), node.FUNCTION)(**inputs)
        found = [digest(out) for out in (done.result if hasattr(done, "result") else done)]
        rows.append(f'"{name}": {json.dumps(found)}')
    (HERE / "expected.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


main()
