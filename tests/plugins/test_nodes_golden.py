"""The reference pipelines, run through the node classes: same prompt, same latents and pixels.

The checkpoints are random weights made by ../shared/tools/make_checkpoints.py (a minute of work);
NODERACK_GOLDEN names a folder that has them already.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_host.folder import Host, HostConfig
from noderack_host.folders import ModelFolders
from noderack_host.running import Running, use
from noderack_nodes import NODE_CLASS_MAPPINGS
from safetensors import safe_open

LATENT, PIXEL, ENCODING = 1e-4, 1e-3, 2e-5
SHARED = Path(__file__).parents[2].parent / "shared"
GOLDEN = SHARED / "data/golden"
MODELS = ("sd15_mini", "sdxl_mini", "sd15")
"""The first is made where need be; the others, large, are run where NODERACK_GOLDEN has them."""


def cases(group: str) -> list[str]:
    """The names of a group's cases; one that is skipped with a sentence where there are none."""
    if not GOLDEN.exists():
        return ["none/absent"]
    found = json.loads((GOLDEN / "index.json").read_text(encoding="utf-8"))[group]
    return [name for name in found if name.partition("/")[0] in MODELS]


@pytest.fixture(scope="module")
def index() -> dict[str, Any]:
    if not GOLDEN.exists():
        pytest.skip(f"the reference pipelines are not at {GOLDEN}")
    found: dict[str, Any] = json.loads((GOLDEN / "index.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, index: dict[str, Any]) -> Iterator[Host]:
    ready = os.environ.get("NODERACK_GOLDEN")
    root = tmp_path_factory.mktemp("golden")
    if ready:
        (root / "models").symlink_to(Path(ready) / "models")
    else:
        command = [sys.executable, "make_checkpoints.py", MODELS[0]]
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


def at_hand(case: str, host: Host) -> None:
    if not (host.models / "checkpoints" / f"{case.partition('/')[0]}_fp16.safetensors").exists():
        pytest.skip("this checkpoint is not made here; NODERACK_GOLDEN may name a folder that has it")


@pytest.mark.slow
@pytest.mark.parametrize("case", cases("pipelines"))
def test_pipeline(case: str, host: Host, index: dict[str, Any], apart: Callable[[str, float], None]) -> None:
    at_hand(case, host)
    entry, model = index["pipelines"][case], case.partition("/")[0]
    with torch.inference_mode():
        done = outputs(entry["workflow"])
    with safe_open(GOLDEN / "pipelines.safetensors", "pt") as file:
        for key, expected in entry["outputs"].items():
            if "samples" in expected:
                ours, theirs = done[key][0]["samples"], file.get_tensor(expected["samples"]["key"])
                off = float((ours - theirs).abs().max() / theirs.abs().max())
                apart(f"{model} latents", off)
                assert off < LATENT
            elif "image" in expected:
                stride = expected["stride"]
                ours, theirs = (
                    done[key][0][:, ::stride, ::stride],
                    file.get_tensor(expected["image"]["key"]).float(),
                )
                off = float((ours - theirs).abs().max())
                apart(f"{model} pixels", off)
                apart(
                    f"{model} pixels, root of the mean square", float((ours - theirs).square().mean().sqrt())
                )
                assert off < PIXEL


@pytest.mark.slow
@pytest.mark.parametrize("case", cases("encode"))
def test_encode(case: str, host: Host, index: dict[str, Any], apart: Callable[[str, float], None]) -> None:
    """What text encoders give, weights and layers included: part of each vector, and its length."""
    at_hand(case, host)
    entry = index["encode"][case]
    loader, encoder = (NODE_CLASS_MAPPINGS[n]() for n in ("CheckpointLoaderSimple", "CLIPTextEncode"))
    _, clip, _ = loader.load_checkpoint(f"{entry['checkpoint']}_fp16.safetensors")  # type: ignore[attr-defined]
    if entry["clip_layer"] is not None:
        clip = clip.with_layer(entry["clip_layer"])
    with torch.inference_mode():
        (((text, options),),) = encoder.encode(clip=clip, text=entry["text"])  # type: ignore[attr-defined]
    assert list(text.shape) == entry["cond_shape"]
    with safe_open(GOLDEN / "encode.safetensors", "pt") as file:
        wanted = [file.get_tensor(entry[part]["key"]) for part in ("cond_head", "token_norm", "pooled")]
    given = text[0, :, :16], text[0].norm(dim=-1), options["pooled_output"].flatten()
    for ours, theirs in zip(given, wanted, strict=True):
        off = float((ours - theirs.view_as(ours)).abs().max()) / max(1.0, float(theirs.abs().max()))
        apart(f"{case.partition('/')[0]} encodings", off)
        assert off < ENCODING
