"""Pictures in and out: LoadImage, LoadImageMask, SaveImage, PreviewImage."""

from __future__ import annotations

import hashlib
import random
import string
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_host.save_names import SaveName, save_name, write_new

from noderack_nodes.places import PICTURES, annotated_path, folder_of, input_names
from noderack_nodes.sockets import IMAGE, MASK, Inputs, Mappings, Node

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}


class FolderOfType:
    """The path of the folder that a node's `type` names, until a pack puts a path of its own on the node."""

    def __get__(self, node: SaveImage | None, owner: type[SaveImage]) -> str:
        return str(folder_of((node or owner).type))


class SaveImage(Node):
    """Writes PNG files that hold the workflow that made them.

    Packs make previews of it: they set `type`, `output_dir`, `prefix_append`, `compress_level` on the node.
    """

    INPUTS: ClassVar[Inputs] = {
        "required": {"images": IMAGE, "filename_prefix": ("STRING", {"default": "ComfyUI"})},
        "hidden": _HIDDEN,
    }
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IMAGE",)
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("images",)
    OUTPUT_NODE = True
    CATEGORY = "image"
    FUNCTION = "save_images"
    DESCRIPTION = "Writes the images into the output folder as PNG files that hold their workflow."
    type = "output"
    output_dir = FolderOfType()
    prefix_append = ""
    compress_level = 4

    def save_images(
        self,
        images: Tensor,
        filename_prefix: str = "ComfyUI",
        prompt: Any = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Save each image [H, W, C] of the batch; the files' names go to the client."""
        from noderack_nodes.png import text_chunks

        height, width = int(images.shape[1]), int(images.shape[2])
        place = save_name(filename_prefix + self.prefix_append, Path(self.output_dir), width, height)
        chunks = text_chunks(prompt, extra_pnginfo)
        names = [self._save(place, number, image, chunks) for number, image in enumerate(images)]
        return {"ui": {"images": [self._entry(name, place) for name in names]}, "result": (images,)}

    def _save(self, place: SaveName, number: int, image: Tensor, chunks: Any) -> str:
        from noderack_nodes.png import write_png

        write = partial(write_png, image=image, chunks=chunks, compress_level=self.compress_level)
        return write_new(place, number, ".png", write)

    def _entry(self, name: str, place: SaveName) -> dict[str, str]:
        return {"filename": name, "subfolder": place.subfolder, "type": self.type}


class PreviewImage(SaveImage):
    """Shows images without keeping them: they go to the temp folder."""

    INPUTS: ClassVar[Inputs] = {"required": {"images": IMAGE}, "hidden": _HIDDEN}
    DESCRIPTION = "Writes the images into the temp folder, to be looked at."
    type = "temp"
    compress_level = 1

    def __init__(self) -> None:
        self.prefix_append = "_temp_" + "".join(random.choices(string.ascii_lowercase, k=5))


class SaveImageWebsocket(Node):
    """Sends images to the client that asked for the prompt, over its socket; no file is written."""

    INPUTS: ClassVar[Inputs] = {"required": {"images": IMAGE}}
    OUTPUT_NODE = True
    CATEGORY = "api/image"
    FUNCTION = "save_images"

    def save_images(self, images: Tensor) -> dict[str, Any]:
        """Each as a PNG in a preview frame, whole and in order."""
        from noderack_host.running import current

        from noderack_nodes.png import to_picture

        for number, image in enumerate(images):
            current().progress(number + 1, len(images), ("PNG", to_picture(image), None))
        return {}

    @classmethod
    def IS_CHANGED(cls, images: Tensor) -> float:
        """Always: whoever asks again wants to be sent them again."""
        return float("nan")


class MaskPreview(PreviewImage):
    """Shows a mask as a grey picture."""

    INPUTS: ClassVar[Inputs] = {"required": {"mask": MASK}, "hidden": _HIDDEN}
    RETURN_TYPES = ("MASK",)
    RETURN_NAMES = ("mask",)
    CATEGORY = "mask"
    FUNCTION = "preview"

    def preview(
        self, mask: Tensor, prompt: Any = None, extra_pnginfo: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """A mask [B, H, W] as images."""
        image = mask.reshape((-1, 1, mask.shape[-2], mask.shape[-1])).movedim(1, -1).expand(-1, -1, -1, 3)
        return {**self.save_images(image, prompt=prompt, extra_pnginfo=extra_pnginfo), "result": (mask,)}


class LoadImage(Node):
    """Reads a picture from the input folder: its pixels, and a mask of what is transparent."""

    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IMAGE", "MASK")
    CATEGORY = "image"
    FUNCTION = "load_image"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The pictures that lie in the input folder now."""
        return {"required": {"image": (input_names("input", PICTURES), {"image_upload": True})}}

    def load_image(self, image: str) -> tuple[Tensor, Tensor]:
        """IMAGE [frames, H, W, 3] and MASK [frames, H, W] of the picture called `image`."""
        from noderack_nodes.png import read_picture

        return read_picture(annotated_path(image))

    @classmethod
    def IS_CHANGED(cls, image: str, **others: Any) -> str:
        """The file's hash: the node runs again when the picture changed under its name."""
        return hashlib.sha256(annotated_path(image).read_bytes()).hexdigest()

    @classmethod
    def VALIDATE_INPUTS(cls, image: str) -> bool | str:
        """Any picture that exists will do, subfolders and `[output]` names too, not only those listed."""
        try:
            annotated_path(image)
        except ValueError as error:
            return str(error)
        return True


class LoadImageOutput(LoadImage):
    """Reads a picture from the output folder, which the editor lists by a route."""

    EXPERIMENTAL = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """One combo whose choices the editor fetches."""
        remote = {"route": "/internal/files/output", "refresh_button": True, "control_after_refresh": "first"}
        return {
            "required": {
                "image": ("COMBO", {"image_upload": True, "image_folder": "output", "remote": remote})
            }
        }


class LoadImageMask(LoadImage):
    """Reads one channel of a picture as a mask."""

    RETURN_TYPES = ("MASK",)
    CATEGORY = "mask"
    FUNCTION = "load_image_mask"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The pictures in the input folder, and a channel."""
        pictures = (input_names("input", PICTURES), {"image_upload": True})
        return {"required": {"image": pictures, "channel": (["alpha", "red", "green", "blue"],)}}

    def load_image_mask(self, image: str, channel: str) -> tuple[Tensor]:
        """MASK [1, H, W] of that channel; alpha comes inverted, so that transparent is 1."""
        from noderack_nodes.png import read_channel

        return (read_channel(annotated_path(image), channel),)


NODES: Mappings = {
    "SaveImage": SaveImage,
    "SaveImageWebsocket": SaveImageWebsocket,
    "PreviewImage": PreviewImage,
    "MaskPreview": MaskPreview,
    "LoadImage": LoadImage,
    "LoadImageMask": LoadImageMask,
    "LoadImageOutput": LoadImageOutput,
}
NAMES = {
    "SaveImage": "Save Image",
    "PreviewImage": "Preview Image",
    "LoadImage": "Load Image",
    "LoadImageMask": "Load Image (as Mask)",
    "LoadImageOutput": "Load Image (from Outputs)",
}
