"""Pictures of a 3D viewer, and lists of images."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_host.check import check
from noderack_host.contract import schema_of
from noderack_host.folder import Host
from noderack_host.workflow import read_workflow
from noderack_nodes import NODE_CLASS_MAPPINGS
from noderack_nodes.errors import NodeInputError
from PIL import Image

DRAWN = {"image": "drawn.png", "mask": "drawn.png [temp]", "normal": "drawn.png"}


def run(name: str, /, **inputs: Any) -> Any:
    """What a node gives."""
    node = NODE_CLASS_MAPPINGS[name]
    return node.EXECUTE_NORMALIZED(**inputs).result if hasattr(node, "execute") else node().run(**inputs)


@pytest.fixture
def drawn(host: Host) -> Path:
    """A host with a model, and what the viewer drew of it."""
    model = host.input / "3d/cube.glb"
    model.parent.mkdir()
    model.write_bytes(b"glTF")
    for folder in (host.input, host.temp):
        Image.new("RGBA", (12, 9), (255, 0, 0, 128)).save(folder / "drawn.png")
    return model


def test_what_the_viewer_drew(drawn: Path, host: Host) -> None:
    found = run(
        "Load3D", model_file="3d/cube.glb", image={**DRAWN, "camera_info": {"zoom": 1}}, width=12, height=9
    )
    image, mask, name, normal, camera, video, model, places = found
    assert image.shape == normal.shape == (1, 9, 12, 3) and mask.shape == (1, 9, 12)
    assert (name, camera, video, places) == ("3d/cube.glb", {"zoom": 1}, None, [])
    done = NODE_CLASS_MAPPINGS["Preview3D"].EXECUTE_NORMALIZED(model_file=model, camera_info=camera)
    shown = done.ui.as_dict()["result"]
    assert (host.output / shown[0]).read_bytes() == b"glTF" and shown[1] == camera


def test_nothing_drawn(drawn: Path) -> None:
    with pytest.raises(NodeInputError, match="open the workflow in the editor"):
        run("Load3D", model_file="none", image="", width=12, height=9)
    prompt = {
        "1": {
            "class_type": "Load3D",
            "inputs": {"model_file": "3d/x.glb", "image": "", "width": 9, "height": 9},
        },
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    assert any("the viewer drew nothing" in problem.details for problem in check(prompt, NODE_CLASS_MAPPINGS))
    prompt["1"]["inputs"]["image"] = dict(DRAWN)
    assert any("3d/x.glb" in problem.details for problem in check(prompt, NODE_CLASS_MAPPINGS))
    prompt["1"]["inputs"]["model_file"] = "3d/cube.glb"
    assert not check(prompt, NODE_CLASS_MAPPINGS)


def test_buttons_of_the_viewer_are_no_values(drawn: Path) -> None:
    values = ["3d/cube.glb", "upload3dmodel", "uploadExtraResources", "clear", "", 640, 480]
    node = {"id": 1, "type": "Load3D", "mode": 0, "inputs": [], "outputs": [], "widgets_values": values}
    workflow = read_workflow(json.dumps({"nodes": [node], "links": [], "version": 0.4}))
    found = workflow.prompt({"Load3D": schema_of("Load3D", NODE_CLASS_MAPPINGS["Load3D"])})
    inputs = {"model_file": "3d/cube.glb", "image": "", "width": 640, "height": 480}
    assert found.prompt["1"]["inputs"] == inputs and not found.notes


def test_lists_of_images() -> None:
    wide, tall = torch.rand(2, 10, 20, 3), torch.rand(1, 20, 10, 3)
    assert run("ResizeImagesByLongerEdge", images=wide, longer_edge=10)[0].shape == (2, 5, 10, 3)
    assert run("ResizeImagesByShorterEdge", images=tall, shorter_edge=5)[0].shape == (1, 10, 5, 3)
    assert run("CenterCropImages", images=wide, width=8, height=30)[0].shape == (2, 10, 8, 3)
    once, again = (run("RandomCropImages", images=wide, width=4, height=4, seed=3)[0] for _ in range(2))
    assert once.equal(again) and once.shape == (2, 4, 4, 3)
    (order,) = run("ShuffleDataset", images=[wide, tall], seed=[5])
    assert sorted(image.shape for image in order) == [(1, 10, 20, 3), (1, 10, 20, 3), (1, 20, 10, 3)]
    (kept,) = run("ImageDeduplication", images=[wide[:1], wide[:1], 1 - wide[:1]], similarity_threshold=[0.9])
    assert len(kept) == 2
    cells = {"columns": [2], "cell_width": [32], "cell_height": [40], "padding": [3]}
    assert run("ImageGrid", images=[wide, tall], **cells)[0].shape == (1, 83, 67, 3)
