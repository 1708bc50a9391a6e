"""What nodes show: files that they saved, previews, texts; `as_dict()` is the ui payload of an event.

Pictures are float [B, H, W, C] in 0…1. Pillow is imported when a picture is saved; nothing else is needed.
"""

import json
import random
import re
import string
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from noderack_host.running import current
from noderack_host.v3.widgets import FolderType

_COUNTED = re.compile(r"_(\d+)_?$")


class SavedResult(dict[str, str]):
    """A file in one of the host's folders, as clients name it."""

    def __init__(self, filename: str, subfolder: str, type: Any) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=str(getattr(type, "value", type)))

    @property
    def filename(self) -> str:
        return self["filename"]

    @property
    def subfolder(self) -> str:
        return self["subfolder"]

    @property
    def type(self) -> str:
        return self["type"]


class SavedImages:
    """Pictures that were saved."""

    def __init__(self, results: Sequence[SavedResult], is_animated: bool = False) -> None:
        self.results = list(results)
        self.is_animated = is_animated

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"images": self.results}
        return {**found, "animated": (True,)} if self.is_animated else found


class SavedAudios:
    """Sounds that were saved."""

    def __init__(self, results: Sequence[SavedResult]) -> None:
        self.results = list(results)

    def as_dict(self) -> dict[str, Any]:
        return {"audio": self.results}


class PreviewImage(SavedImages):
    """Shows pictures; they are kept in the temp folder."""

    def __init__(self, image: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        super().__init__(
            ImageSaveHelper.save_images(image, _temp_prefix(), FolderType.temp, cls, 1), animated
        )


class PreviewMask(PreviewImage):
    """Shows masks, float [B, H, W], as grey pictures."""

    def __init__(self, mask: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        flat = mask.reshape((-1, mask.shape[-2], mask.shape[-1], 1))
        super().__init__(flat.expand(-1, -1, -1, 3), animated, cls)


class PreviewAudio(SavedAudios):
    """Lets people listen to {"waveform": [B, C, T], "sample_rate": Hz}; kept in the temp folder as WAV."""

    def __init__(self, audio: Mapping[str, Any], cls: Any = None, **_: Any) -> None:
        super().__init__(AudioSaveHelper.save_audio(audio, _temp_prefix(), FolderType.temp, cls))


class PreviewVideo:
    """Shows videos that were saved."""

    def __init__(self, values: Sequence[SavedResult], **_: Any) -> None:
        self.values = list(values)

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.values, "animated": (True,)}


class PreviewUI3D:
    """Shows a 3D model that was saved, as the camera sees it."""

    def __init__(self, model_file: Any, camera_info: Any = None, **_: Any) -> None:
        self.model_file = model_file
        self.camera_info = camera_info

    def as_dict(self) -> dict[str, Any]:
        return {"result": [self.model_file, self.camera_info]}


class PreviewText:
    """Shows a text."""

    def __init__(self, value: str, **_: Any) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        return {"text": (self.value,)}


class ImageSaveHelper:
    """Saves pictures into the host's folders; PNGs carry the workflow that made them."""

    @staticmethod
    def save_images(
        images: Any, filename_prefix: str, folder_type: Any, cls: Any = None, compress_level: int = 4
    ) -> list[SavedResult]:
        """One PNG for each picture; gives what clients need to find them."""
        saved = []
        for picture in _pictures(images):
            result, path = _next_file(filename_prefix, folder_type, ".png")
            picture.save(path, pnginfo=_metadata(cls), compress_level=compress_level)
            saved.append(result)
        return saved

    @classmethod
    def get_save_images_ui(
        cls, images: Any, filename_prefix: str, node: Any = None, compress_level: int = 4, **more: Any
    ) -> SavedImages:
        """Saves into the output folder, ready to be shown."""
        hidden_of = more.get("cls", node)
        return SavedImages(
            cls.save_images(images, filename_prefix, FolderType.output, hidden_of, compress_level)
        )

    @staticmethod
    def save_animated_webp(
        images: Any,
        filename_prefix: str,
        folder_type: Any,
        cls: Any = None,
        fps: float = 24.0,
        lossless: bool = True,
        quality: int = 80,
        method: int = 4,
    ) -> SavedResult:
        """One WebP whose frames are the pictures."""
        first, *rest = _pictures(images)
        result, path = _next_file(filename_prefix, folder_type, ".webp")
        options = {"lossless": lossless, "quality": quality, "method": method}
        first.save(path, save_all=True, append_images=rest, duration=int(1000 / fps), **options)
        return result

    @staticmethod
    def save_animated_png(
        images: Any,
        filename_prefix: str,
        folder_type: Any,
        cls: Any = None,
        fps: float = 24.0,
        compress_level: int = 4,
    ) -> SavedResult:
        """One animated PNG whose frames are the pictures."""
        first, *rest = _pictures(images)
        result, path = _next_file(filename_prefix, folder_type, ".png")
        first.save(
            path, save_all=True, append_images=rest, duration=int(1000 / fps), compress_level=compress_level
        )
        return result


class AudioSaveHelper:
    """Saves sounds into the host's folders, as 16-bit WAV."""

    @staticmethod
    def save_audio(
        audio: Mapping[str, Any], filename_prefix: str, folder_type: Any, cls: Any = None, format: str = "wav"
    ) -> list[SavedResult]:
        """One file for each sound of the batch; raises ValueError for another format."""
        if format != "wav":
            raise ValueError(f"sounds are saved as wav here, not as {format}")
        saved = []
        for sound in audio["waveform"]:
            result, path = _next_file(filename_prefix, folder_type, ".wav")
            samples = (sound.T.clamp(-1, 1) * 32767).round().short().cpu().contiguous().numpy()
            with wave.open(str(path), "wb") as out:
                out.setnchannels(int(sound.shape[0]))
                out.setsampwidth(2)
                out.setframerate(int(audio["sample_rate"]))
                out.writeframes(samples.astype("<i2").tobytes())
            saved.append(result)
        return saved


def _pictures(images: Any) -> list[Any]:
    from PIL import Image

    return [
        Image.fromarray((image * 255.0).round().clamp(0, 255).byte().cpu().numpy().squeeze())
        for image in images
    ]


def _metadata(cls: Any) -> Any:
    """The PNG texts of the workflow that is running, from the node's hidden values."""
    hidden = getattr(cls, "hidden", None)
    if hidden is None or (not hidden.prompt and not hidden.extra_pnginfo):
        return None
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if hidden.prompt:
        info.add_text("prompt", json.dumps(hidden.prompt))
    for key, value in (hidden.extra_pnginfo or {}).items():
        info.add_text(key, json.dumps(value))
    return info


def _next_file(prefix: str, folder_type: Any, suffix: str) -> tuple[SavedResult, Path]:
    """The next free name for a prefix, `<prefix>_00001_`; raises ValueError if it leads out of the folder."""
    host = current().host
    if host is None:
        raise ValueError("no host is open, so there is no folder to save to; run this node in a host")
    kind = str(getattr(folder_type, "value", folder_type))
    root = {"output": host.output, "temp": host.temp, "input": host.input}[kind]
    wanted = (root / prefix.replace("\\", "/")).resolve()
    if not wanted.is_relative_to(root.resolve()):
        raise ValueError(f"{prefix!r} leads out of the {kind} folder")
    wanted.parent.mkdir(parents=True, exist_ok=True)
    taken = [
        int(found.group(1))
        for file in wanted.parent.glob(f"{_escaped(wanted.name)}_*")
        if (found := _COUNTED.search(file.stem)) and file.stem[: found.start()] == wanted.name
    ]
    name = f"{wanted.name}_{max(taken, default=0) + 1:05}_{suffix}"
    subfolder = str(wanted.parent.relative_to(root.resolve()))
    return SavedResult(name, "" if subfolder == "." else subfolder, kind), wanted.parent / name


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _temp_prefix() -> str:
    return "preview_" + "".join(random.choices(string.ascii_lowercase, k=8))
