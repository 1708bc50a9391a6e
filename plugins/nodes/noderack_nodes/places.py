"""Where the running host keeps models and pictures, as the nodes ask for it.

Outside a host (a pack being listed in a child process) the lists are empty instead of an error, so that a
schema can be read anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from noderack_host.running import current, current_or_none

from noderack_nodes.errors import ImageNotFound, ModelNotFound, NodeInputError

Class = TypeVar("Class", bound=type)
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})


def model_names(category: str) -> list[str]:
    """The file names that a loader's combo shows."""
    running = current_or_none()
    return [] if running is None or running.folders is None else list(running.folders.files(category))


def model_path(category: str, name: str) -> Path:
    """The file of a model by the name a workflow gives it; raises ModelNotFound."""
    folders = current().folders
    path = None if folders is None else folders.find(category, name)
    if path is None:
        raise ModelNotFound(category, name)
    return path


def reads(**inputs: str) -> Callable[[Class], Class]:
    """A loader that runs again when a model file is another: the category of model by each input that names
    a file.
    """

    def changed(cls: type, /, **given: Any) -> str:
        return " ".join(_state(category, given.get(name)) for name, category in inputs.items())

    def mark(cls: Class) -> Class:
        setattr(cls, "IS_CHANGED", classmethod(changed))  # noqa: B010 (it is none of every class)
        return cls

    return mark


def _state(category: str, name: Any) -> str:
    """Size and time of a model file; nothing for one that is not there, which its loader says."""
    running = current_or_none()
    folders = None if running is None else running.folders
    path = folders.find(category, name) if folders is not None and isinstance(name, str) else None
    with suppress(OSError):
        if path is not None:
            stat = path.stat()
            return f"{stat.st_size}:{stat.st_mtime_ns}"
    return ""


def model_folders(category: str, mark: str) -> list[str]:
    """The folders of a category that hold the file `mark`, by their path within it, sorted."""
    running = current_or_none()
    if running is None or running.folders is None:
        return []
    roots = running.folders.category(category).folders
    return sorted(
        {found.parent.relative_to(root).as_posix() for root in roots for found in root.glob(f"**/{mark}")}
    )


def model_folder(category: str, name: str) -> Path:
    """A folder of a category by the name that `model_folders` gives it; raises ModelNotFound."""
    folders = current().folders
    for root in () if folders is None else folders.category(category).folders:
        path = Path(os.path.normpath(root / name))
        if path.is_relative_to(os.path.normpath(root)) and path.is_dir():
            return path
    raise ModelNotFound(category, name)


def input_names(kind: str, extensions: frozenset[str]) -> list[str]:
    """Files directly in the input or output folder that have one of these extensions, sorted."""
    running = current_or_none()
    if running is None or running.host is None:
        return []
    folder = folder_of(kind)
    if not folder.is_dir():
        return []
    return sorted(
        entry.name for entry in folder.iterdir() if entry.suffix.lower() in extensions and entry.is_file()
    )


def folder_of(kind: str) -> Path:
    """The host's `input`, `output` or `temp` folder."""
    host = current().host
    if host is None:
        raise NodeInputError(f"no host is open, so there is no {kind} folder; run this node in a host")
    return {"input": host.input, "output": host.output, "temp": host.temp}[kind]


def annotated_path(name: str, default: str = "input") -> Path:
    """The file that `name`, or `name [output]` / `[temp]` / `[input]`, means; raises ImageNotFound."""
    kind = next((k for k in ("input", "output", "temp") if name.endswith(f"[{k}]")), None)
    bare = name if kind is None else name[: -len(kind) - 2].rstrip(" ")
    folder = folder_of(kind or default)
    path = Path(os.path.normpath(folder / bare))
    if not path.is_relative_to(os.path.normpath(folder)) or not path.is_file():
        raise ImageNotFound(bare, kind or default)
    return path
