"""`comfy_api.latest.ui`: what nodes show, in the form that editors read."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import folder_paths
from noderack_compat.missing import gap

__getattr__ = gap("comfy_api.latest.ui")


class SavedResult(dict[str, str]):
    """One saved file."""

    def __init__(self, filename: str, subfolder: str, type: Any) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=getattr(type, "value", type))


class _Shown:
    key = "images"
    animated = False

    def __init__(self, results: list[Any], **_: Any) -> None:
        self.results = results

    def as_dict(self) -> dict[str, Any]:
        return {self.key: self.results, **({"animated": (True,)} if self.animated else {})}


class SavedImages(_Shown):
    def __init__(self, results: list[Any], is_animated: bool = False) -> None:
        super().__init__(results)
        self.animated = is_animated


class SavedAudios(_Shown):
    key = "audio"


class PreviewVideo(_Shown):
    animated = True


class PreviewUI3D(_Shown):
    key = "result"


class PreviewText(_Shown):
    def __init__(self, value: str, **_: Any) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        return {"text": (self.value,)}


class PreviewImage(_Shown):
    """Pictures [B, H, W, C], written into the folder for temporary files."""

    def __init__(self, image: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        folder = folder_paths.get_temp_directory()
        prefix = "preview_" + "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=5))
        super().__init__(ImageSaveHelper.save_images(image, prefix, "temp", cls, folder=folder))
        self.animated = animated


class PreviewMask(PreviewImage):
    """Masks [B, H, W], shown as grey pictures."""

    def __init__(self, mask: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        super().__init__(mask.reshape((-1, *mask.shape[-2:], 1)).expand(-1, -1, -1, 3), animated, cls)


class ImageSaveHelper:
    """Writes pictures with the workflow in them."""

    @staticmethod
    def save_images(
        images: Any,
        filename_prefix: str,
        folder_type: Any,
        cls: Any,
        compress_level: int = 4,
        folder: str | None = None,
    ) -> list[Any]:
        import numpy as np
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        kind = getattr(folder_type, "value", folder_type)
        top = folder or folder_paths.get_directory_by_type(kind) or folder_paths.get_output_directory()
        height, width = images[0].shape[:2]
        place, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, top, width, height
        )
        info = PngInfo()
        hidden = getattr(cls, "hidden", None)
        told = {"prompt": getattr(hidden, "prompt", None), **(getattr(hidden, "extra_pnginfo", None) or {})}
        for key, value in told.items():
            if value is not None:
                info.add_text(key, json.dumps(value))
        saved = []
        for index, image in enumerate(images):
            pixels = np.clip(255.0 * image.cpu().numpy(), 0, 255).astype(np.uint8)
            file = f"{name.replace('%batch_num%', str(index))}_{counter + index:05}_.png"
            Image.fromarray(pixels).save(
                os.path.join(place, file), pnginfo=info, compress_level=compress_level
            )
            saved.append(SavedResult(file, subfolder, kind))
        return saved

    @classmethod
    def get_save_images_ui(
        cls, images: Any, filename_prefix: str, node: Any, compress_level: int = 4
    ) -> SavedImages:
        return SavedImages(cls.save_images(images, filename_prefix, "output", node, compress_level))
