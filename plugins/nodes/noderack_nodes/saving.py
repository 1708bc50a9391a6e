"""Files in more formats than PNG, and two pictures beside each other in the editor."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noderack_host.save_names import SaveName, save_name, write_new
from noderack_host.v3 import io, ui

from noderack_nodes.errors import NodeInputError
from noderack_nodes.image import PreviewImage
from noderack_nodes.places import folder_of
from noderack_nodes.sockets import Mappings

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_DEPTHS = {"png": ("8-bit", "16-bit"), "exr": ("32-bit float",)}
_SPACES = {"png": ("sRGB",), "exr": ("sRGB", "HDR", "linear")}
_TEXTS = ("txt", "csv", "md", "json")


def _combo(name: str, choices: tuple[str, ...]) -> io.Input:
    made: io.Input = io.Combo.Input(name, options=list(choices), default=choices[0], advanced=True)
    return made


def _place(prefix: str, width: int, height: int) -> SaveName:
    return replace(save_name(prefix, folder_of("output"), width, height), mark="")


class SaveImageAdvanced(io.ComfyNode):
    """Writes pictures with 16 bits a colour, or as linear light in OpenEXR, with their workflow."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Each format brings its depths and colour spaces."""
        formats = [
            io.DynamicCombo.Option(
                name, [_combo("bit_depth", _DEPTHS[name]), _combo("input_color_space", _SPACES[name])]
            )
            for name in _DEPTHS
        ]
        return io.Schema(
            node_id="SaveImageAdvanced",
            display_name="Save Image (Advanced)",
            category="image",
            inputs=[
                io.Image.Input("images"),
                io.String.Input("filename_prefix", default="ComfyUI"),
                io.DynamicCombo.Input("format", options=formats),
            ],
            outputs=[io.Image.Output(display_name="images")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: Tensor, filename_prefix: str, format: dict[str, str]) -> io.NodeOutput:
        """One file for each image [H, W, C] of the batch."""
        kind = format["format"]
        write = _writer(kind, format, cls.hidden.prompt, cls.hidden.extra_pnginfo)
        place = _place(filename_prefix, int(images.shape[2]), int(images.shape[1]))
        names = [
            write_new(place, number, f".{kind}", partial(write, image=image))
            for number, image in enumerate(images)
        ]
        shown = [ui.SavedResult(name, place.subfolder, "output") for name in names]
        return io.NodeOutput(images, ui={"images": shown})


def _writer(kind: str, told: dict[str, str], prompt: Any, extra: Any) -> Callable[..., None]:
    depth, space = told.get("bit_depth"), told.get("input_color_space", "sRGB")
    if depth not in _DEPTHS.get(kind, ()) or space not in _SPACES.get(kind, ()):
        raise NodeInputError(f"{kind} files are not written with {depth} of {space}; there are {_DEPTHS}")
    if kind == "exr":
        from noderack_nodes.exr import write_exr

        texts = {"prompt": prompt, **(extra or {})}
        words = {key: json.dumps(value) for key, value in texts.items() if value is not None}
        return partial(write_exr, space=space, told=words)
    from noderack_nodes.png import text_chunks, write_deep_png, write_png

    chunks = text_chunks(prompt, extra)
    if depth == "16-bit":
        return partial(write_deep_png, chunks=chunks)
    return partial(write_png, chunks=chunks, compress_level=4)


class SaveText(io.ComfyNode):
    """Writes a text into the output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """As one of four kinds of file."""
        return io.Schema(
            node_id="SaveText",
            display_name="Save Text",
            category="text",
            inputs=[
                io.String.Input("text", force_input=True),
                io.String.Input("filename_prefix", default="ComfyUI"),
                io.Combo.Input("format", options=list(_TEXTS), default="txt"),
            ],
            outputs=[io.String.Output(display_name="text")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, text: str, filename_prefix: str, format: str) -> io.NodeOutput:
        """JSON is set out in lines if the text is JSON."""
        if format not in _TEXTS:
            raise NodeInputError(f"there is no format {format!r}; there are {', '.join(_TEXTS)}")
        place = _place(filename_prefix, 1, 1)
        written = _in_lines(text) if format == "json" else text
        name = write_new(place, 0, f".{format}", partial(_write, text=written))
        saved = ui.SavedResult(name, place.subfolder, "output")
        return io.NodeOutput(text, ui={"text": (text,), "files": [saved]})


def _in_lines(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


class ImageCompare(io.ComfyNode):
    """Two pictures under a slider."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Either may be missing."""
        return io.Schema(
            node_id="ImageCompare",
            display_name="Compare Images",
            category="image",
            is_experimental=True,
            is_output_node=True,
            inputs=[
                io.Image.Input("image_a", optional=True),
                io.Image.Input("image_b", optional=True),
                io.ImageCompare.Input("compare_view"),
            ],
            outputs=[],
        )

    @classmethod
    def execute(
        cls, image_a: Tensor | None = None, image_b: Tensor | None = None, compare_view: Any = None
    ) -> io.NodeOutput:
        """They go to the temp folder."""
        shown = {"a_images": image_a, "b_images": image_b}
        return io.NodeOutput(ui={key: _shown(image, key[0]) for key, image in shown.items()})


def _shown(image: Tensor | None, side: str) -> list[dict[str, str]]:
    if image is None or not len(image):
        return []
    entries: list[dict[str, str]] = PreviewImage().save_images(image, f"comfy.compare.{side}")["ui"]["images"]
    return entries


class ImageCropV2(io.ComfyNode):
    """A part of a picture, which is drawn on it in the editor."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """A corner and a size, in pixels."""
        return io.Schema(
            node_id="ImageCropV2",
            display_name="Crop Image",
            category="image/transform",
            has_intermediate_output=True,
            inputs=[io.Image.Input("image"), io.BoundingBox.Input("crop_region", component="ImageCrop")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image: Tensor, crop_region: dict[str, int]) -> io.NodeOutput:
        """What of the part lies within the picture."""
        _, height, width, _ = image.shape
        x, y = min(crop_region.get("x", 0), width - 1), min(crop_region.get("y", 0), height - 1)
        wide, high = crop_region.get("width", 512), crop_region.get("height", 512)
        part = image[:, y : y + high, x : x + wide]
        return io.NodeOutput(part, ui=ui.PreviewImage(part))


_ALL: tuple[type[io.ComfyNode], ...] = (SaveImageAdvanced, SaveText, ImageCompare, ImageCropV2)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES: dict[str, str] = {name: node.GET_SCHEMA().display_name or name for name, node in NODES.items()}
