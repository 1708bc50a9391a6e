"""Pictures in a row as one moving file that holds its workflow."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_host.save_names import save_name, write_new

from noderack_nodes.places import folder_of
from noderack_nodes.sockets import IMAGE, Inputs, Mappings, Node, choice, flag, integer, number

if TYPE_CHECKING:
    from pathlib import Path

    from noderack_nodes.sockets import Tensor

_FPS = number(6.0, 0.01, 1000.0)
_PREFIX = ("STRING", {"default": "ComfyUI"})
_HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
_METHODS = {"default": 4, "fastest": 0, "slowest": 6}
_MODEL, _MAKE = 0x0110, 0x010F
"""EXIF fields that programs of this field keep workflows in; further ones count down from the second."""


class SaveAnimated(Node):
    """Writes one file of all images."""

    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)
    OUTPUT_NODE = True
    CATEGORY = "image/animation"
    FUNCTION = "save_images"
    suffix: ClassVar[str] = ""

    def write(self, images: Tensor, prefix: str, fps: float, **options: Any) -> dict[str, Any]:
        """The file's name for the client; ``options`` are Pillow's."""
        from noderack_nodes.png import to_picture

        height, width = int(images.shape[1]), int(images.shape[2])
        place = save_name(prefix, folder_of("output"), width, height)
        first, *rest = [to_picture(image) for image in images]
        told = {"save_all": True, "duration": int(1000.0 / fps), "append_images": rest, **options}

        def written(path: Path) -> None:
            first.save(path, format=self.suffix.strip(".").upper(), **told)

        name = write_new(place, 0, self.suffix, partial(written))
        entry = {"filename": name, "subfolder": place.subfolder, "type": "output"}
        return {"ui": {"images": [entry], "animated": (len(images) > 1,)}, "result": (images,)}


class SaveAnimatedWEBP(SaveAnimated):
    """Writes a moving WebP."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "images": IMAGE,
            "filename_prefix": _PREFIX,
            "fps": _FPS,
            "lossless": flag(True),
            "quality": integer(80, 0, 100),
            "method": choice(*_METHODS),
        },
        "hidden": _HIDDEN,
    }
    suffix = ".webp"

    def save_images(
        self,
        images: Tensor,
        fps: float,
        filename_prefix: str,
        lossless: bool,
        quality: int,
        method: str,
        prompt: Any = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """`quality` is of the picture, or without loss of the packing; `method` trades time for bytes."""
        from PIL import Image

        exif = Image.Exif()
        if prompt is not None:
            exif[_MODEL] = f"prompt:{json.dumps(prompt)}"
        for place, (key, value) in enumerate((extra_pnginfo or {}).items()):
            exif[_MAKE - place] = f"{key}:{json.dumps(value)}"
        how = {"exif": exif, "lossless": lossless, "quality": quality, "method": _METHODS[method]}
        return self.write(images, filename_prefix, fps, **how)


class SaveAnimatedPNG(SaveAnimated):
    """Writes a moving PNG."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "images": IMAGE,
            "filename_prefix": _PREFIX,
            "fps": _FPS,
            "compress_level": integer(4, 0, 9),
        },
        "hidden": _HIDDEN,
    }
    suffix = ".png"

    def save_images(
        self,
        images: Tensor,
        fps: float,
        compress_level: int,
        filename_prefix: str = "ComfyUI",
        prompt: Any = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Every frame without loss. The workflow follows the pictures, in a chunk of this field's own."""
        from PIL.PngImagePlugin import PngInfo

        chunks = PngInfo()
        for key, value in {"prompt": prompt, **(extra_pnginfo or {})}.items():
            if value is not None:
                chunks.add(b"comf", key.encode() + b"\0" + json.dumps(value).encode(), after_idat=True)
        return self.write(images, filename_prefix, fps, pnginfo=chunks, compress_level=compress_level)


NODES: Mappings = {node.__name__: node for node in (SaveAnimatedWEBP, SaveAnimatedPNG)}
NAMES: dict[str, str] = {}
