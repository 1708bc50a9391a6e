"""Calls nodes of one host with made-up values, for bench_nodes.py.

    PYTHON node_side.py SCHEMAS OUT TIMES [COMFYUI]

SCHEMAS is an object_info of the nodes to call; OUT becomes {"node #number": outputs or ("error", words)}.
With - for SCHEMAS, OUT becomes the object_info of the nodes that need no files and write none, as JSON.
"""

import asyncio
import inspect
import json
import random
import sys
from pathlib import Path

SCHEMAS, OUT, TIMES, *PEER = sys.argv[1:]
sys.path[:0] = [*PEER, str(Path(__file__).parent)]


def nodes_here():
    if not PEER:
        from noderack_nodes import NODE_CLASS_MAPPINGS

        return NODE_CLASS_MAPPINGS
    sys.argv = ["main.py", "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import nodes

    asyncio.run(nodes.init_builtin_extra_nodes())
    return nodes.NODE_CLASS_MAPPINGS


def called(cls, values):
    new = hasattr(cls, "GET_SCHEMA")
    done = (cls.execute if new else getattr(cls(), cls.FUNCTION))(**values)
    done = asyncio.run(done) if inspect.isawaitable(done) else done
    if hasattr(done, "result"):
        done = done.result
    return kept(done.get("result") if isinstance(done, dict) else done)


def kept(value):
    """The value as far as it is data; of anything else only that it is there."""
    import torch

    if isinstance(value, dict):
        return {key: kept(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [kept(item) for item in value]
    return value if isinstance(value, (torch.Tensor, str, int, float, bool, type(None))) else "an object"


FILES = {"LoadImage", "LoadImageMask", "LoadImageOutput", "LoadLatent", "VAELoader"}


def schemas(classes):
    found = {}
    for name, cls in classes.items():
        if name in FILES or (getattr(cls, "OUTPUT_NODE", False) and name != "PreviewAny"):
            continue
        if hasattr(cls, "GET_SCHEMA"):
            entry = cls.GET_NODE_INFO_V1()
            found[name] = {"input": entry["input"], "is_input_list": entry.get("is_input_list", False)}
        else:
            lists = getattr(cls, "INPUT_IS_LIST", False)
            found[name] = {"input": cls.INPUT_TYPES(), "is_input_list": lists}
    return found


def main():
    import torch
    from node_values import inputs, plain

    torch.set_num_threads(1)
    classes, found = nodes_here(), {}
    if SCHEMAS == "-":
        Path(OUT).write_text(json.dumps(schemas(classes), default=str))
        return
    for name, entry in json.loads(Path(SCHEMAS).read_text()).items():
        if name not in classes or not plain(entry["input"]):
            continue
        for number in range(int(TIMES)):
            torch.manual_seed(number)
            random.seed(number)
            draw = random.Random(f"{name} {number}")
            values = inputs(draw, entry["input"], {})
            if entry.get("is_input_list"):
                values = {key: [value] for key, value in values.items()}
            try:
                found[f"{name} #{number}"] = called(classes[name], values)
            except Exception as error:
                found[f"{name} #{number}"] = ("error", f"{type(error).__name__}: {error}"[:200])
    torch.save(found, OUT)


main()
