"""The reference pipelines, run through the node classes: same prompt, same latents and pixels.

The checkpoints are random weights made by ../shared/tools/make_checkpoints.py (a minute of work);
NODERACK_GOLDEN names a folder that has them already.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_host.folder import Host, HostConfig
from noderack_host.folders import ModelFolders
from noderack_host.running import Running, use
from noderack_nodes import NODE_CLASS_MAPPINGS
from safetensors import safe_open

SHARED = Path(__file__).parents[2].parent / "shared"
GOLDEN = SHARED / "data/golden"
CASES = (
    *("img2img_0.6", "inpaint_vaeencode", "inpaint_noisemask", "hires_bislerp", "hires_second_pass"),
    *(
        "txt2img_64",
        "odd_size_104x72",
        "batch2",
        "lora_stacked",
        "clip_skip_2",
        "cond_concat",
        "cond_average",
    ),
    *("cond_zero_out", "cond_timestep_range", "area_2", "mask_default", "mask_bounds", "advanced_split"),
    *("weights_and_embedding", "long_prompt"),
)


@pytest.fixture(scope="module")
def index() -> dict[str, Any]:
    if not GOLDEN.exists():
        pytest.skip(f"the reference pipelines are not at {GOLDEN}")
    return json.loads((GOLDEN / "index.json").read_text(encoding="utf-8"))["pipelines"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, index: dict[str, Any]) -> Iterator[Host]:
    ready = os.environ.get("NODERACK_GOLDEN")
    root = tmp_path_factory.mktemp("golden")
    if ready:
        (root / "models").symlink_to(Path(ready) / "models")
    else:
        command = [sys.executable, "make_checkpoints.py", "sd15_mini"]
        subprocess.run(command, cwd=SHARED / "tools", env={**os.environ, "OUT_DIR": str(root)}, check=True)
    made = Host(root, HostConfig())
    made.input.mkdir()
    for picture in GOLDEN.glob("*.png"):
        shutil.copy(picture, made.input)
    with use(Running(made, ModelFolders.of(made))):
        yield made


def outputs(prompt: dict[str, Any]) -> dict[str, Any]:
    """Every node's outputs; a prompt this small needs no executor."""
    done: dict[str, Any] = {}

    def value(given: Any) -> Any:
        return run(given[0])[given[1]] if isinstance(given, list) else given

    def run(key: str) -> Any:
        if key not in done:
            node = NODE_CLASS_MAPPINGS[prompt[key]["class_type"]]
            inputs = {name: value(given) for name, given in prompt[key]["inputs"].items()}
            done[key] = getattr(node(), node.FUNCTION)(**inputs)
        return done[key]

    for key, node in prompt.items():
        if node["class_type"] != "SaveImage":
            run(key)
    return done


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_pipeline(case: str, host: Host, index: dict[str, Any]) -> None:
    entry = index[f"sd15_mini/{case}"]
    with torch.inference_mode():
        done = outputs(entry["workflow"])
    with safe_open(GOLDEN / "pipelines.safetensors", "pt") as file:
        for key, expected in entry["outputs"].items():
            if "samples" in expected:
                ours, theirs = done[key][0]["samples"], file.get_tensor(expected["samples"]["key"])
                assert ((ours - theirs).abs().max() / theirs.abs().max()) < 2e-3
            elif "image" in expected:
                stride = expected["stride"]
                ours, theirs = (
                    done[key][0][:, ::stride, ::stride],
                    file.get_tensor(expected["image"]["key"]).float(),
                )
                assert (ours - theirs).abs().max() < 2e-2
