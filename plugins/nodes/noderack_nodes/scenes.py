"""3D models: what the editor's viewer drew of one, and one shown there. Nothing here draws in 3D itself."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from noderack_host.v3 import io, ui

from noderack_nodes.errors import NodeInputError
from noderack_nodes.places import annotated_path, folder_of
from noderack_nodes.sockets import Mappings

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

MODELS = frozenset({".gltf", ".glb", ".obj", ".fbx", ".stl", ".spz", ".splat", ".ply", ".ksplat"})
_DRAWN = ("image", "mask", "normal")
_KINDS = (io.File3DGLB, io.File3DGLTF, io.File3DFBX, io.File3DOBJ, io.File3DSTL, io.File3DUSDZ, io.File3DAny)
_NOT_DRAWN = (
    "the viewer drew nothing: open the workflow in the editor and run it there, where the viewer of this node"
    ' draws; or name pictures in the input folder as {"image": …, "mask": …, "normal": …}'
)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A FILE_3D: the file of a model."""

    path: Path

    @property
    def format(self) -> str:
        """The kind of file, such as glb."""
        return self.path.suffix.lower().lstrip(".")

    def get_source(self) -> str:
        """Where it lies."""
        return str(self.path)

    def save_to(self, path: str | Path) -> str:
        """Copies it; gives where."""
        return str(shutil.copyfile(self.path, path))


def _models() -> list[str]:
    """The models below the `3d` folder of the input folder, by their path there."""
    try:
        folder = folder_of("input")
    except (LookupError, RuntimeError, ValueError):  # a schema that is read outside of a host
        return []
    found = (file for file in (folder / "3d").rglob("*") if file.suffix.lower() in MODELS)
    return sorted(file.relative_to(folder).as_posix() for file in found)


class Load3D(io.ComfyNode):
    """What the editor's viewer drew of a 3D model: its picture, its outline and its surface directions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Models lie in the `3d` folder of the input folder."""
        return io.Schema(
            node_id="Load3D",
            display_name="Load 3D & Animation",
            category="3d",
            is_experimental=True,
            inputs=[
                io.Combo.Input("model_file", options=["none", *_models()], upload=io.UploadType.model),
                io.Load3D.Input("image"),
                io.Int.Input("width", default=1024, min=1, max=4096, step=1),
                io.Int.Input("height", default=1024, min=1, max=4096, step=1),
            ],
            outputs=[
                io.Image.Output(display_name="image"),
                io.Mask.Output(display_name="mask"),
                io.String.Output(display_name="mesh_path"),
                io.Image.Output(display_name="normal"),
                io.Load3DCamera.Output(display_name="camera_info"),
                io.Video.Output(display_name="recording_video"),
                io.File3DAny.Output(display_name="model_3d"),
                io.Load3DModelInfo.Output(display_name="model_3d_info"),
            ],
        )

    @classmethod
    def validate_inputs(cls, model_file: str, image: Any = None) -> bool | str:
        """Whether the model is there, and drawn."""
        if isinstance(image, Mapping) or image is None:
            return _problem(model_file)
        return _NOT_DRAWN

    @classmethod
    def execute(cls, model_file: str, image: Any, **others: Any) -> io.NodeOutput:
        """The pictures at the size that they were drawn in. A recording of the viewer is not read here."""
        from noderack_nodes.png import read_picture

        if not isinstance(image, Mapping) or not all(image.get(name) for name in _DRAWN):
            raise NodeInputError(_NOT_DRAWN)
        drawn, outline, normal = (read_picture(annotated_path(image[name])) for name in _DRAWN)
        chosen = model_file if model_file and model_file != "none" else ""
        video = (
            io.ExecutionBlocker("videos of the 3D viewer are not read here")
            if image.get("recording")
            else None
        )
        return io.NodeOutput(
            drawn[0],
            outline[1],
            chosen,
            normal[0],
            image.get("camera_info"),
            video,
            ModelFile(annotated_path(chosen)) if chosen else None,
            image.get("model_3d_info", []),
        )


def _problem(model_file: str) -> bool | str:
    if model_file and model_file != "none":
        try:
            annotated_path(model_file)
        except ValueError as error:
            return str(error)
    return True


class Preview3D(io.ComfyNode):
    """A 3D model in the editor's viewer."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """A file's name in the output folder, or a model from another node."""
        name = io.String.Input("model_file", default="", multiline=False)
        return io.Schema(
            node_id="Preview3D",
            display_name="Preview 3D & Animation",
            category="3d",
            is_experimental=True,
            is_output_node=True,
            inputs=[
                io.MultiType.Input(name, list(_KINDS)),
                io.Load3DCamera.Input("camera_info", optional=True, advanced=True),
                io.Image.Input("bg_image", optional=True, advanced=True),
            ],
            outputs=[],
        )

    @classmethod
    def execute(
        cls, model_file: Any, camera_info: Any = None, bg_image: Tensor | None = None
    ) -> io.NodeOutput:
        """A model from another node is copied into the output folder."""
        if not isinstance(model_file, str):
            model = model_file
            model_file = f"preview3d_{uuid4().hex}.{model.format}"
            model.save_to(str(folder_of("output") / model_file))
        return io.NodeOutput(ui=ui.PreviewUI3D(model_file, camera_info, bg_image=bg_image))


NODES: Mappings = {node.__name__: node for node in (Load3D, Preview3D)}
NAMES = {"Load3D": "Load 3D & Animation", "Preview3D": "Preview 3D & Animation"}
