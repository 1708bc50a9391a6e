"""Nodes of the newer form: values, sums, sizes, files, comparisons."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_host.execute import Executor
from noderack_host.folder import Host
from noderack_nodes import NODE_CLASS_MAPPINGS
from noderack_nodes.errors import NodeInputError
from noderack_nodes.formula import evaluate
from PIL import Image

IMAGE = torch.rand(2, 20, 30, 3, generator=torch.Generator().manual_seed(1))


def run(name: str, /, **inputs: Any) -> Any:
    """What a node of the newer form gives."""
    return NODE_CLASS_MAPPINGS[name].EXECUTE_NORMALIZED(**inputs)


SUMS: list[tuple[str, float]] = [
    ("a + b", 7),
    ("a // 2 * 8", 16),
    ("max(a, b) / 2", 2.5),
    ("sum(values)", 7),
    ("values[0] ** 2", 25),
    ("a if a > b else -b", 5),
    ("1 < b < 3 and not a == b", True),
    ("round(sqrt(a), 2)", 2.24),
]


@pytest.mark.parametrize(("text", "found"), SUMS)
def test_sums(text: str, found: float) -> None:
    done = run("ComfyMathExpression", expression=text, values={"a": 5, "b": 2}).result
    assert done == (float(found), int(found), bool(found))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("c + 1", "there is no 'c'"),
        ("a +", "no expression"),
        ("1 / 0", "cannot be worked out"),
        ("9 ** 9 ** 9", "above 4000"),
        ("().__class__", "not allowed"),
        ("open('x')", "not allowed"),
        ("(lambda: 1)()", "not allowed"),
        ("'a' * 9", "not allowed"),
        ("1 << 10 ** 9", "above 4000"),
        ("a" * 3000, "characters"),
    ],
)
def test_what_is_no_sum(text: str, said: str) -> None:
    with pytest.raises(NodeInputError, match=said):
        evaluate(text, {"a": 1})


def test_a_sum_must_be_a_number() -> None:
    for text in ("values", "a * 1.0 ** 1 - a + 1e308 * 10"):
        with pytest.raises(NodeInputError, match=r"no (finite )?number"):
            run("ComfyMathExpression", expression=text, values={"a": 1})


@pytest.mark.parametrize(
    ("value", "found"), [(True, (1.0, 1)), (2.9, (2.9, 2)), (" 12 ", (12.0, 12)), ("-1.5", (-1.5, -1))]
)
def test_numbers(value: Any, found: tuple[float, int]) -> None:
    assert run("ComfyNumberConvert", value=value).result == found
    for wrong in ("", "x", math.inf, None):
        with pytest.raises(NodeInputError):
            run("ComfyNumberConvert", value=wrong)


def test_values() -> None:
    assert run("ComfyAndNode", values={"value0": 1, "value1": ""}).result == (False,)
    assert run("ComfyOrNode", values={"value0": 0, "value1": "x"}).result == (True,)
    assert run("ComfyNotNode", value=0).result == (True,)
    assert run("CreateList", inputs={"input0": [1, 2], "input1": [3]}).result == ([1, 2, 3],)
    assert run("ColorToRGBInt", color="#ff800080").result == (0xFF8000, "#ff8000", 128 / 255)
    assert run("ResolutionSelector", aspect_ratio="16:9 (Widescreen)", megapixels=1.0).result == (1368, 768)
    assert run("CustomCombo", choice="mine", index=3, option1="mine").result == ("mine", 3)
    assert run("StringFormat", f_string="{a}: {b:.1f}", values={"a": "x", "b": 2}).result == ("x: 2.0",)
    with pytest.raises(NodeInputError, match="the values are: a"):
        run("StringFormat", f_string="{a.__class__} {b}", values={"a": 1})


def prompt(switch: bool) -> dict[str, Any]:
    rows: list[tuple[str, dict[str, Any]]] = [
        ("PrimitiveString", {"value": "no"}),
        ("PrimitiveString", {"value": "yes"}),
        ("ComfySwitchNode", {"switch": switch, "on_false": ["1", 0], "on_true": ["2", 0]}),
        ("ComfyMathExpression", {"expression": "a * 2", "values.a": 4}),
        ("StringFormat", {"f_string": "{a} {b}", "values.a": ["3", 0], "values.b": ["4", 1]}),
        ("PreviewAny", {"source": ["5", 0]}),
    ]
    return {str(at): {"class_type": kind, "inputs": inputs} for at, (kind, inputs) in enumerate(rows, 1)}


@pytest.mark.parametrize(("switch", "shown"), [(True, "yes 8"), (False, "no 8")])
def test_a_switch_runs_one_side(switch: bool, shown: str) -> None:
    events: list[Any] = []
    executor = Executor(NODE_CLASS_MAPPINGS)
    result = asyncio.run(executor.run(prompt(switch), events.append))
    assert result.outputs["6"]["text"] == (shown,) or list(result.outputs["6"]["text"]) == [shown]
    ran = {event.as_dict()["data"].get("node") for event in events if event.as_dict()["type"] == "executing"}
    assert ("2" in ran, "1" in ran) == (switch, not switch)


SIZES: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({"resize_type": "scale dimensions", "width": 60, "height": 0, "crop": "center"}, (40, 60)),
    ({"resize_type": "scale by multiplier", "multiplier": 0.5}, (10, 15)),
    ({"resize_type": "scale longer dimension", "longer_size": 60}, (40, 60)),
    ({"resize_type": "scale shorter dimension", "shorter_size": 40}, (40, 60)),
    ({"resize_type": "scale width", "width": 45}, (30, 45)),
    ({"resize_type": "scale height", "height": 10}, (10, 15)),
    ({"resize_type": "match size", "match": IMAGE[:, :8, :9], "crop": "disabled"}, (8, 9)),
    ({"resize_type": "scale to multiple", "multiple": 8}, (16, 24)),
]


@pytest.mark.parametrize(("told", "size"), SIZES)
def test_sizes_of_images_and_masks(told: dict[str, Any], size: tuple[int, int]) -> None:
    for picture in (IMAGE, IMAGE[..., 0]):
        (found,) = run("ResizeImageMaskNode", input=picture, resize_type=told, scale_method="area").result
        assert found.shape == (2, *size, *picture.shape[3:])


def test_batches() -> None:
    (images,) = run("BatchImagesNode", images={"image0": IMAGE, "image1": torch.zeros(1, 9, 9, 4)}).result
    assert images.shape == (3, 20, 30, 4) and images[:2, ..., 3].eq(1).all()
    latents = {"latent0": {"samples": torch.zeros(1, 4, 8, 8), "batch_index": [5]}}
    latents["latent1"] = {"samples": torch.ones(2, 4, 4, 4)}
    (latent,) = run("BatchLatentsNode", latents=latents).result
    assert latent["samples"].shape == (3, 4, 8, 8) and latent["batch_index"] == [5, 0, 1]


def test_deep_pictures(host: Host) -> None:
    av = pytest.importorskip("av", reason="PyAV reads what was written")
    (kept,) = run(
        "SaveImageAdvanced",
        images=IMAGE,
        filename_prefix="deep",
        format={"format": "png", "bit_depth": "16-bit", "input_color_space": "sRGB"},
    ).result
    assert kept is IMAGE
    with av.open(str(host.output / "deep_00002.png")) as file:
        read = next(file.decode(video=0)).to_ndarray(format="rgb48le")
    assert torch.allclose(torch.from_numpy(read.astype("f4")) / 65535, IMAGE[1], atol=2e-5)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_linear_light(host: Host, channels: int) -> None:
    av = pytest.importorskip("av", reason="PyAV reads what was written")
    image = torch.rand(1, 40, 21, channels)
    told = {"format": "exr", "bit_depth": "32-bit float", "input_color_space": "linear"}
    run("SaveImageAdvanced", images=image, filename_prefix="light", format=told)
    with av.open(str(host.output / "light_00001.exr")) as file:
        frame = next(file.decode(video=0))
    form = {1: "grayf32le", 3: "gbrpf32le", 4: "gbrapf32le"}[channels]
    read = torch.from_numpy(frame.to_ndarray(format=form).copy()).reshape(40, 21, channels)
    assert torch.allclose(read, image[0], atol=1e-6)


def test_texts(host: Host) -> None:
    run("SaveText", text='{"a":1}', filename_prefix="told/it", format="json")
    done = run("SaveText", text="plain", filename_prefix="told/it", format="txt")
    assert json.loads((host.output / "told/it_00001.json").read_text()) == {"a": 1}
    (file,) = done.ui["files"]
    assert (host.output / file["subfolder"] / file["filename"]).read_text() == "plain"


def test_a_comparison(host: Host) -> None:
    shown = run("ImageCompare", image_a=IMAGE, compare_view=None).ui
    assert shown["b_images"] == [] and len(shown["a_images"]) == 2
    with Image.open(host.temp / shown["a_images"][0]["filename"]) as picture:
        assert picture.size == (30, 20)


def test_a_part_of_a_picture(host: Host) -> None:
    box = {"x": 28, "y": 4, "width": 10, "height": 3}
    (part,) = run("ImageCropV2", image=IMAGE, crop_region=box).result
    assert part.equal(IMAGE[:, 4:7, 28:]) and any(Path(host.temp).iterdir())


def test_tiles_and_back() -> None:
    picture = torch.rand(1, 100, 150, 3)
    (tiles,) = NODE_CLASS_MAPPINGS["SplitImageToTileList"]().run(picture, 64, 64, 16)
    assert len(tiles) == 6 and {tile.shape[1:3] for tile in tiles} == {(64, 64)}
    (whole,) = NODE_CLASS_MAPPINGS["ImageMergeTileList"]().run(tiles, [150], [100], [16])
    assert torch.allclose(whole, picture, atol=1e-5)
