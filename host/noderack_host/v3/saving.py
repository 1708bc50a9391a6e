"""Saves pictures and sounds into the host's folders, with the workflow that made them.

Pictures are float [B, H, W, C] in 0…1, sounds {"waveform": float [B, C, T] in -1…1, "sample_rate": Hz}.
Pillow is imported when a picture is saved, PyAV when a sound is compressed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from noderack_host.running import current
from noderack_host.save_names import save_name, write_new
from noderack_host.v3.sound import write_sound
from noderack_host.v3.widgets import FolderType

_EXIF_MODEL, _EXIF_MAKE = 0x0110, 0x010F


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


class ImageSaveHelper:
    """Saves pictures; files carry the workflow that made them where `cls` has it hidden."""

    @staticmethod
    def save_images(
        images: Any, filename_prefix: str, folder_type: Any, cls: Any = None, compress_level: int = 4
    ) -> list[SavedResult]:
        """One PNG for each picture; gives what clients need to find them."""
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        for key, text in _texts(cls):
            info.add_text(key, text)
        options = {"format": "PNG", "pnginfo": info, "compress_level": compress_level}
        writers = [_writer(picture, options) for picture in _pictures(images)]
        return _saved(filename_prefix, folder_type, ".png", writers, images)

    @classmethod
    def get_save_images_ui(
        cls_, images: Any, filename_prefix: str, cls: Any = None, compress_level: int = 4, node: Any = None
    ) -> SavedImages:
        """Saves into the output folder, ready to be shown."""
        hidden_of = cls if cls is not None else node
        return SavedImages(
            cls_.save_images(images, filename_prefix, FolderType.output, hidden_of, compress_level)
        )

    @staticmethod
    def save_animated_png(
        images: Any,
        filename_prefix: str,
        folder_type: Any,
        cls: Any = None,
        fps: float = 24.0,
        compress_level: int = 4,
    ) -> SavedResult:
        """One animated PNG whose frames are the pictures; its texts stand in chunks of the type `comf`."""
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        for key, text in _texts(cls):
            info.add(b"comf", key.encode("latin-1") + b"\0" + text.encode("latin-1"), after_idat=True)
        options = {"format": "PNG", "pnginfo": info, "compress_level": compress_level}
        return _animated(images, filename_prefix, folder_type, ".png", fps, options)

    @classmethod
    def get_save_animated_png_ui(
        cls_, images: Any, filename_prefix: str, cls: Any = None, fps: float = 24.0, compress_level: int = 4
    ) -> SavedImages:
        """Saves into the output folder, ready to be shown."""
        saved = cls_.save_animated_png(images, filename_prefix, FolderType.output, cls, fps, compress_level)
        return SavedImages([saved], is_animated=len(images) > 1)

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
        """One WebP whose frames are the pictures; its texts stand in EXIF."""
        from PIL import Image

        exif = Image.Exif()
        others = iter(range(_EXIF_MAKE, 0, -1))
        for key, text in _texts(cls):
            exif[_EXIF_MODEL if key == "prompt" else next(others)] = f"{key}:{text}"
        options = {"format": "WEBP", "exif": exif, "lossless": lossless, "quality": quality, "method": method}
        return _animated(images, filename_prefix, folder_type, ".webp", fps, options)

    @classmethod
    def get_save_animated_webp_ui(
        cls_,
        images: Any,
        filename_prefix: str,
        cls: Any = None,
        fps: float = 24.0,
        lossless: bool = True,
        quality: int = 80,
        method: int = 4,
    ) -> SavedImages:
        """Saves into the output folder, ready to be shown."""
        options = (fps, lossless, quality, method)
        saved = cls_.save_animated_webp(images, filename_prefix, FolderType.output, cls, *options)
        return SavedImages([saved], is_animated=len(images) > 1)


class AudioSaveHelper:
    """Saves sounds: flac, mp3, opus (these need PyAV), wav."""

    @staticmethod
    def save_audio(
        audio: Mapping[str, Any],
        filename_prefix: str,
        folder_type: Any,
        cls: Any = None,
        format: str = "flac",
        quality: str = "128k",
    ) -> list[SavedResult]:
        """One file for each sound of the batch; raises SoundError for a format that cannot be written."""
        texts = dict(_texts(cls))
        rate = int(audio["sample_rate"])

        def writer(sound: Any) -> Callable[[Path], None]:
            return lambda path: write_sound(path, sound, rate, format, quality, texts)

        writers = [writer(sound) for sound in audio["waveform"]]
        return _saved(filename_prefix, folder_type, f".{format}", writers)

    @classmethod
    def get_save_audio_ui(
        cls_,
        audio: Mapping[str, Any],
        filename_prefix: str,
        cls: Any = None,
        format: str = "flac",
        quality: str = "128k",
    ) -> SavedAudios:
        """Saves into the output folder, ready to be heard."""
        return SavedAudios(cls_.save_audio(audio, filename_prefix, FolderType.output, cls, format, quality))


def _pictures(images: Any) -> list[Any]:
    """8-bit pictures; values are clipped and truncated, as existing workflows expect."""
    from PIL import Image

    return [Image.fromarray((image * 255.0).clamp(0, 255).byte().cpu().numpy().squeeze()) for image in images]


def _writer(picture: Any, options: Mapping[str, Any]) -> Callable[[Path], None]:
    return lambda path: picture.save(path, **options)


def _animated(
    images: Any, prefix: str, folder_type: Any, suffix: str, fps: float, options: Mapping[str, Any]
) -> SavedResult:
    first, *rest = _pictures(images)
    moving = {**options, "save_all": True, "append_images": rest, "duration": int(1000 / fps)}
    return _saved(prefix, folder_type, suffix, [_writer(first, moving)], images)[0]


def _texts(cls: Any) -> Iterator[tuple[str, str]]:
    """The workflow that is running as (name, JSON), from the node's hidden values."""
    hidden = getattr(cls, "hidden", None)
    if hidden is None:
        return
    if hidden.prompt:
        yield "prompt", json.dumps(hidden.prompt)
    for key, value in (hidden.extra_pnginfo or {}).items():
        yield key, json.dumps(value)


def _saved(
    prefix: str,
    folder_type: Any,
    suffix: str,
    writers: Sequence[Callable[[Path], None]],
    images: Any = None,
) -> list[SavedResult]:
    """Writes files `<prefix>_00001_<suffix>` …; raises OutsideFolder, ValueError where no host is open."""
    host = current().host
    if host is None:
        raise ValueError("no host is open, so there is no folder to save to; run this node in a host")
    kind = str(getattr(folder_type, "value", folder_type))
    root = {"output": host.output, "temp": host.temp, "input": host.input}[kind]
    height, width = (0, 0) if images is None else (int(images[0].shape[0]), int(images[0].shape[1]))
    place = save_name(prefix, root, width, height)
    names = [write_new(place, at, suffix, write) for at, write in enumerate(writers)]
    return [SavedResult(name, place.subfolder, kind) for name in names]
