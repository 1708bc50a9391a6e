"""Which files the unified loader takes, by the names under which they are published."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_H = r"(ViT[.-]H[.-]14.*s32B[.-]b79K|ipadapter.*sd15|sd1.?5.*model)"
_G = r"(ViT[.-]bigG[.-]14.*39B[.-]b160k|ipadapter.*sdxl|sdxl.*model)"

PRESETS: Mapping[str, tuple[str | None, str | None, bool]] = {
    "LIGHT - SD1.5 only (low strength)": (r"ip.adapter.*sd15.light(_v11)?", None, False),
    "STANDARD (medium strength)": (r"ip.adapter.sd15", r"ip.adapter.sdxl.vit.h", False),
    "VIT-G (medium strength)": (r"ip.adapter.sd15.vit.g", r"ip.adapter.sdxl", True),
    "PLUS (high strength)": (r"ip.adapter.plus.sd15", r"ip.adapter.plus.sdxl.vit.h", False),
    "PLUS FACE (portraits)": (r"ip.adapter.plus.face.sd15", r"ip.adapter.plus.face.sdxl.vit.h", False),
    "FULL FACE - SD1.5 only (portraits stronger)": (r"ip.adapter.full.face.sd15", None, False),
}
"""Preset -> the adapter for Stable Diffusion 1, the one for SDXL, whether it looks through the tower G."""


@dataclass(frozen=True, slots=True)
class FaceFiles:
    """What an adapter of faces needs, as patterns of names."""

    adapter: str
    lora: str | None = None
    tower: str | None = None


def _faces(name: str, *, plus: bool = False, lora: bool = True) -> FaceFiles:
    own = rf"faceid.{name}.lora" if lora else None
    return FaceFiles(rf"faceid.{name}", own, _H if plus else None)


FACES: Mapping[str, tuple[FaceFiles | None, FaceFiles | None]] = {
    "FACEID": (_faces("sd15"), _faces("sdxl")),
    "FACEID PLUS - SD1.5 only": (_faces("plus.sd15", plus=True), None),
    "FACEID PLUS V2": (_faces("plusv2.sd15", plus=True), _faces("plusv2.sdxl", plus=True)),
    "FACEID PORTRAIT (style transfer)": (
        _faces(r"portrait(.v11)?.sd15", lora=False),
        _faces("portrait.sdxl", lora=False),
    ),
    "FACEID PORTRAIT UNNORM - SDXL only (strong)": (None, _faces("portrait.sdxl.unnorm", lora=False)),
}
"""Preset -> what it takes for Stable Diffusion 1, and for SDXL."""


def face_files(preset: str, *, sdxl: bool) -> FaceFiles | None:
    """The patterns of a preset, or None if there is none for this family."""
    return FACES[preset][sdxl]


def file_like(pattern: str, files: Iterable[str]) -> str | None:
    """The file whose name is like that, the shortest of several."""
    return _found(pattern, files)


def adapter_file(preset: str, files: Iterable[str], *, sdxl: bool) -> str | None:
    """The adapter of a preset among files; raises KeyError for a preset that there is not for this family."""
    before, deep, _ = PRESETS[preset]
    pattern = deep if sdxl else before
    if pattern is None:
        raise KeyError(preset)
    return _found(pattern, files)


def tower_file(preset: str, files: Iterable[str]) -> str | None:
    """The image tower of a preset among files."""
    return _found(_G if PRESETS[preset][2] else _H, files)


def _found(pattern: str, files: Iterable[str]) -> str | None:
    wanted = re.compile(rf"(.*/)?.*?{pattern}\.(bin|safetensors)", re.IGNORECASE)
    return min((f for f in files if wanted.fullmatch(f.replace("\\", "/"))), key=len, default=None)
