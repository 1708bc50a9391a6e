"""What nodes show: files that they saved, previews, texts; `as_dict()` is the ui payload of an event.

Pictures are float [B, H, W, C] in 0…1.
"""

import random
import string
from collections.abc import Mapping, Sequence
from typing import Any

from noderack_host.v3.saving import (
    AudioSaveHelper,
    ImageSaveHelper,
    SavedAudios,
    SavedImages,
    SavedResult,
)
from noderack_host.v3.widgets import FolderType

__all__ = [
    "AudioSaveHelper",
    "ImageSaveHelper",
    "PreviewAudio",
    "PreviewImage",
    "PreviewMask",
    "PreviewText",
    "PreviewUI3D",
    "PreviewUI3DAdvanced",
    "PreviewVideo",
    "SavedAudios",
    "SavedImages",
    "SavedResult",
]


class PreviewImage(SavedImages):
    """Shows pictures; they are kept in the temp folder."""

    def __init__(self, image: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        super().__init__(
            ImageSaveHelper.save_images(image, _temp_prefix(), FolderType.temp, cls, 1), animated
        )

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.results, "animated": (self.is_animated,)}


class PreviewMask(PreviewImage):
    """Shows masks, float [B, H, W], as grey pictures."""

    def __init__(self, mask: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        flat = mask.reshape((-1, mask.shape[-2], mask.shape[-1], 1))
        super().__init__(flat.expand(-1, -1, -1, 3), animated, cls)


class PreviewAudio(SavedAudios):
    """Lets people listen to {"waveform": [B, C, T], "sample_rate": Hz}; kept in the temp folder as WAV."""

    def __init__(self, audio: Mapping[str, Any], cls: Any = None, **_: Any) -> None:
        super().__init__(AudioSaveHelper.save_audio(audio, _temp_prefix(), FolderType.temp, cls, "wav"))


class PreviewVideo:
    """Shows videos that were saved."""

    def __init__(self, values: Sequence[SavedResult], **_: Any) -> None:
        self.values = list(values)

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.values, "animated": (True,)}


class PreviewUI3D:
    """Shows a 3D model that was saved, as the camera sees it, before a picture if one is given."""

    def __init__(self, model_file: Any, camera_info: Any = None, bg_image: Any = None, **_: Any) -> None:
        self.model_file = model_file
        self.camera_info = camera_info
        self.bg_image_path = None if bg_image is None else _background(bg_image)

    def as_dict(self) -> dict[str, Any]:
        return {"result": [self.model_file, self.camera_info, self.bg_image_path]}


class PreviewUI3DAdvanced:
    """Shows a 3D model with the places of its parts."""

    def __init__(self, model_file: Any, camera_info: Any, model_3d_info: Any) -> None:
        self.model_file = model_file
        self.camera_info = camera_info
        self.model_3d_info = model_3d_info

    def as_dict(self) -> dict[str, Any]:
        return {"result": [self.model_file, self.camera_info, self.model_3d_info]}


class PreviewText:
    """Shows a text."""

    def __init__(self, value: str, **_: Any) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        return {"text": (self.value,)}


def _background(image: Any) -> str:
    saved = ImageSaveHelper.save_images(image[:1], _temp_prefix(), FolderType.temp, None, 1)[0]
    return f"temp/{saved.filename}"


def _temp_prefix() -> str:
    return "preview_" + "".join(random.choices(string.ascii_lowercase, k=8))
