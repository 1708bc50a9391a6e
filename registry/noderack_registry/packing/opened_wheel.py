"""A wheel opened as a source again, so that what reads sources reads wheels too. Nothing of it is run."""

from __future__ import annotations

import configparser
import email.parser
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path, PurePosixPath

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from noderack_registry.packing.errors import BackendError
from noderack_registry.packing.layout import GROUPS, PARENT
from noderack_registry.packing.metadata import PackMetadata
from noderack_registry.packing.source import Source

LARGEST = 8 << 20  # of one file that is unpacked: code, settings and texts; weights and films are only named
LARGEST_ALL = 512 << 20
_NEVER = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".onnx", ".gguf", ".so", ".dll", ".mp4", ".gif")


@dataclass(frozen=True, slots=True)
class OpenedWheel:
    """`source` is the pack's tree (an untouched pack's own folder, else the top of the wheel).

    `modules` are the files, below that, which entry points name; `prefix` leads from the wheel's top to it.
    """

    source: Source
    pack: PackMetadata
    modules: tuple[str, ...]
    prefix: str
    info: str


@contextmanager
def open_wheel(path: Path) -> Iterator[OpenedWheel]:
    """Opens a wheel that passed the gate, for as long as the block runs. Raises BackendError."""
    with tempfile.TemporaryDirectory(prefix="noderack-") as temporary:
        try:
            with zipfile.ZipFile(path) as archive:
                names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
                _unpack(archive, Path(temporary))
                yield _opened(archive, Path(temporary), names)
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError) as cause:
            raise BackendError(f"{path.name} cannot be read: {cause}", "build it again") from cause


def _unpack(archive: zipfile.ZipFile, top: Path) -> None:
    left = LARGEST_ALL
    for entry in archive.infolist():
        parts = PurePosixPath(entry.filename).parts
        if entry.is_dir() or entry.file_size > LARGEST or entry.filename.endswith(_NEVER):
            continue
        if ".." in parts or entry.filename.startswith("/") or "\\" in entry.filename:
            raise BackendError(f"the entry {entry.filename!r} would land outside", "build it again")
        left -= entry.file_size
        if left < 0:
            return
        target = top.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(archive.read(entry))


def _opened(archive: zipfile.ZipFile, top: Path, names: list[str]) -> OpenedWheel:
    info = next(name.split("/")[0] for name in names if name.split("/")[0].endswith(".dist-info"))
    inside = [name for name in names if not name.startswith(f"{info}/")]
    prefix = _prefix(inside)
    root = top / prefix
    root.mkdir(parents=True, exist_ok=True)
    own = tuple(sorted(name.removeprefix(f"{prefix}/") if prefix else name for name in inside))
    folder = prefix.rpartition("/")[2] or (own[0].split("/")[0] if own else "pack")
    message = email.parser.BytesParser().parsebytes(archive.read(f"{info}/METADATA"))
    points = archive.read(f"{info}/entry_points.txt") if f"{info}/entry_points.txt" in names else b""
    library = f"{info}/noderack.json" in names and _is_library(archive.read(f"{info}/noderack.json"))
    files = (f"{base}{end}" for base in _modules(points) for end in ("/__init__.py", ".py"))
    wanted = (file.removeprefix(f"{prefix}/") if prefix else file for file in files)
    return OpenedWheel(
        Source(root, folder, info.removesuffix(".dist-info"), own),
        _metadata(message, library),
        tuple(file for file in dict.fromkeys(wanted) if file in own),
        prefix,
        info,
    )


def _prefix(inside: list[str]) -> str:
    """`custom_nodes/<folder>` for an untouched pack; nothing for a package of its own, or one file."""
    folders = {"/".join(name.split("/")[:2]) for name in inside}
    one = next(iter(folders)) if len(folders) == 1 else ""
    return one if one.startswith(f"{PARENT}/") and not one.endswith(".py") else ""


def _modules(points: bytes) -> list[str]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.read_string(points.decode("utf-8", "replace"))
    found = [value for group in GROUPS if parser.has_section(group) for value in parser[group].values()]
    return [value.partition(":")[0].strip().replace(".", "/") for value in dict.fromkeys(found)]


def _is_library(facts: bytes) -> bool:
    told = json.loads(facts)
    return isinstance(told, dict) and told.get("library") is True


def _metadata(message: Message, library: bool) -> PackMetadata:
    licence, text = _licence(str(message.get("License-Expression") or message.get("License") or ""))
    return PackMetadata(
        name=str(message.get("Name", "")),
        version=str(message.get("Version", "")),
        summary=str(message.get("Summary", "")),
        readme=str(message.get_payload() or message.get("Description", "") or "").strip(),
        licence=licence,
        licence_text=text,
        requires=tuple(map(str, message.get_all("Requires-Dist", []))),
        noderack={"library": library},
    )


def _licence(text: str) -> tuple[str | None, str | None]:
    """An SPDX expression, or else the words that stand there."""
    try:
        return (str(canonicalize_license_expression(text.strip())), None) if text.strip() else (None, None)
    except InvalidLicenseExpression:
        return None, text.strip().splitlines()[0][:200]
