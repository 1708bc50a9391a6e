"""Image nodes: what the same nodes give under ComfyUI (0.33), told by digests; and moving files."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from noderack_host.folder import Host
from noderack_host.workflow import read_workflow
from noderack_nodes import NODE_CLASS_MAPPINGS
from noderack_nodes.edges import canny
from noderack_nodes.errors import NodeInputError
from PIL import Image

CASES = Path(__file__).parents[1] / "cases/image_nodes"
EXPECTED = json.loads((CASES / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cases() -> Any:
    sys.path.insert(0, str(CASES))
    yield [importlib.import_module(name) for name in ("cases", "digest")]
    sys.path.remove(str(CASES))


@pytest.mark.parametrize("name", EXPECTED)
def test_as_under_comfyui(name: str, cases: list[ModuleType]) -> None:
    kind, inputs = cases[0].CASES[name]
    node = NODE_CLASS_MAPPINGS[kind]
    out = getattr(node(), node.FUNCTION)(**inputs)
    for (shape, sums), image in zip(EXPECTED[name], out, strict=True):
        got_shape, got = cases[1].digest(image)
        assert got_shape == shape
        assert got == pytest.approx(sums, abs=0.06)


def test_an_edge_is_one_pixel_wide_and_weak_ones_need_strong_ones() -> None:
    image = torch.zeros(1, 16, 16, 3)
    image[:, :, 8:] = 1.0
    edges = canny(image, 0.2, 0.5)
    assert edges.sum() == 16 and edges[0, 5].nonzero().numel() == 1
    assert canny(image * 0.1, 0.2, 0.5).sum() == 0
    with pytest.raises(NodeInputError, match="swap them"):
        NODE_CLASS_MAPPINGS["Canny"]().run(image, 0.9, 0.2)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("node", "options"),
    [
        ("SaveAnimatedWEBP", {"lossless": True, "quality": 80, "method": "default"}),
        ("SaveAnimatedPNG", {"compress_level": 4}),
    ],
)
def test_a_moving_file_holds_its_frames_and_its_workflow(
    node: str, options: dict[str, Any], host: Host
) -> None:
    frames = torch.rand(3, 16, 24, 3, generator=torch.Generator().manual_seed(1))
    prompt = {"1": {"class_type": "EmptyImage", "inputs": {"width": 8}}}
    extra = {"workflow": {"nodes": [], "links": [], "version": 0.4}}
    saver: Any = NODE_CLASS_MAPPINGS[node]()
    told = saver.save_images(
        images=frames, fps=8.0, filename_prefix="a/b", prompt=prompt, extra_pnginfo=extra, **options
    )
    (entry,), animated = told["ui"]["images"], told["ui"]["animated"]
    assert animated == (True,) and entry["subfolder"] == "a" and entry["type"] == "output"
    path = host.output / "a" / entry["filename"]
    with Image.open(path) as file:
        assert getattr(file, "n_frames", 1) == 3
        pixels = torch.from_numpy(np.array(file.convert("RGB"))).float() / 255
        assert (pixels - frames[0]).abs().max() < 0.005
    assert read_workflow(path).api == prompt
