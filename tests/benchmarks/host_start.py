"""Starts a host with many packs, once: the seconds until it is up, and those that the packs take.

Run as a file by the Python that has what the packs need: `host_start.py {"paths": [...]}` for this host,
`host_start.py {"peer": COMFYUI, "folders": [...]}` for the other; each loads packs by its own loader.
With `paths` and `folders`, the untouched folders are imported here, to compare a wheel with its folder.
The last line is JSON: {"start": seconds, "packs": seconds, "loaded": number, "failed": [...]}.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What a host here has imported when it serves and a first pack has asked for the models and samplers.
UP: tuple[str, ...] = (
    "noderack_host.server",
    "torch",
    "folder_paths",
    "nodes",
    "server",
    "comfy.utils",
    "comfy.sd",
)
UP += ("comfy.samplers", "comfy_api.latest")


def here(job: dict[str, Any]) -> Callable[[], tuple[int, list[str]]]:
    """This host, with the packs whose wheels lie in `paths`; gives what loads them."""
    sys.path[:0] = job["paths"]
    for name in UP:
        importlib.import_module(name)
    packs = importlib.import_module("noderack_host.packs")

    def load() -> tuple[int, list[str]]:
        if "folders" in job:
            return _folders(job["folders"])
        done = packs.load_packs()
        return len(done.packs), [f"{failure.pack}: {failure.cause}" for failure in done.failures]

    return load


def _folders(folders: list[str]) -> tuple[int, list[str]]:
    for folder in map(Path, folders):
        file = folder / "__init__.py" if folder.is_dir() else folder
        name = f"untouched_{folder.stem.replace('-', '_').replace('.', '_')}"
        inside = [str(folder)] if folder.is_dir() else None
        spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=inside)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return len(folders), []


def peer(job: dict[str, Any]) -> Callable[[], tuple[int, list[str]]]:
    """A ComfyUI, with the packs in `folders`."""
    sys.argv = ["main.py", "--cpu", "--disable-all-custom-nodes"]
    os.chdir(job["peer"])
    sys.path.insert(0, job["peer"])
    importlib.import_module("comfy.options").enable_args_parsing()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    importlib.import_module("execution")
    importlib.import_module("server").PromptServer(loop)
    nodes = importlib.import_module("nodes")
    loop.run_until_complete(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))

    def load() -> tuple[int, list[str]]:
        failed = [one for one in job["folders"] if not loop.run_until_complete(nodes.load_custom_node(one))]
        return len(job["folders"]) - len(failed), failed

    return load


def main(job: dict[str, Any]) -> None:
    """Times both parts and writes the answer to `out`; packs may print, and leave threads behind."""
    began = time.perf_counter()
    load = peer(job) if "peer" in job else here(job)
    up = time.perf_counter()
    loaded, failed = load()
    took = {"start": up - began, "packs": time.perf_counter() - up, "loaded": loaded, "failed": failed}
    Path(job["out"]).write_text(json.dumps(took), encoding="utf-8")
    os._exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
