"""Paths that a client names: always below the folder that they belong to, whatever the name says."""

import os
from pathlib import Path

from aiohttp import web

from noderack_host.folder import Host
from noderack_host.folders import safe_relative

KINDS = ("input", "output", "temp")


def folder_of(host: Host, kind: str) -> Path:
    """The folder of a kind of file; raises HTTPBadRequest."""
    if kind not in KINDS:
        raise web.HTTPBadRequest(text=f"type is {kind!r}; use {', '.join(KINDS)}")
    found: Path = getattr(host, kind)
    return found


def inside(root: Path, *names: str) -> Path:
    """`root` and the names below it; raises HTTPForbidden for a path that leads out, by a link too."""
    path = root
    for name in names:
        if not name:
            continue
        relative = safe_relative(name)
        if relative is None:
            raise web.HTTPForbidden(text=f"{name!r} leads out of {root.name}/")
        path = path / relative
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise web.HTTPForbidden(text=f"{path.name!r} is a link that leads out of {root.name}/")
    return path


def annotated(name: str, kind: str) -> tuple[str, str]:
    """A name that may end in ` [output]`, ` [input]` or ` [temp]`, which then says the kind."""
    for one in KINDS:
        if name.endswith(f" [{one}]"):
            return name.removesuffix(f" [{one}]"), one
    return name, kind


def write_whole(path: Path, data: bytes) -> None:
    """Writes beside the place and renames, so that a reader sees the old file or the new one.

    Raises HTTPConflict where a folder has that name.
    """
    if path.is_dir():
        raise web.HTTPConflict(text=f"{path.name!r} is a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    beside.write_bytes(data)
    beside.replace(path)
