"""The wheel of noderack-compat, which every untouched pack asks for: made of what came with Noderack.

Its modules are backed by the runtime and the core of one version of Noderack, so that no other host's will do
and no index needs to have it. The wheel lies in the user's cache, from where it can be had again at any time.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from noderack_cli.installed import Constraint

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "noderack-compat"
PARTS = (("noderack_compat", "noderack_compat/"), ("modules", ""))  # folder, and where its files go
KINDS = (".py", ".txt")


def own_args() -> list[str]:
    """uv's options for the wheel; none where its sources did not come along."""
    made = own_wheel()
    return ["--find-links", str(made.parent)] if made else []


def own_bounds(leaving: list[str]) -> tuple[Constraint, ...]:
    """What keeps another version of it away, unless that is what is to be installed."""
    source = source_folder()
    if source is None or NAME in leaving:
        return ()
    version = _project(source)["version"]
    return (Constraint(NAME, f"=={version}", f"this Noderack comes with {NAME} {version}"),)


def own_wheel() -> Path | None:
    """The wheel's file, made when it is not there or its sources have changed. Raises OSError."""
    source = source_folder()
    return None if source is None else _made(source, cache_folder())


def cache_folder() -> Path:
    """Where this user's programs keep what they can make again."""
    named = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return Path(named or Path.home() / ".cache") / "noderack" / "wheels"


def source_folder() -> Path | None:
    """Where the sources are: in the installed package, or beside it in a working copy."""
    here = Path(__file__).resolve().parent
    places = (here / "compat", here.parents[1] / "plugins" / "compat")
    return next((place for place in places if (place / "pyproject.toml").is_file()), None)


@cache
def _made(source: Path, folder: Path) -> Path:
    project, files = _project(source), dict(_files(source))
    content = hashlib.sha256(_metadata(project).encode())
    for name, file in files.items():
        data = file.read_bytes()
        content.update(f"{name} {len(data)}\n".encode() + data)
    version = project["version"]
    name = f"{NAME.replace('-', '_')}-{version}-py3-none-any.whl"
    target = folder / content.hexdigest()[:16] / name
    if not target.is_file():
        _write(target, project, files)
    return target


def _write(target: Path, project: Mapping[str, str], files: Mapping[str, Path]) -> None:
    from noderack_registry.packing.wheel import Entry, dist_info, write_wheel  # as good as never needed

    info = dist_info(NAME, project["version"])
    entries = {name: Entry(file.read_bytes()) for name, file in files.items()}
    entries[f"{info}/METADATA"] = Entry(_metadata(project).encode())
    entries[f"{info}/WHEEL"] = Entry(
        b"Wheel-Version: 1.0\nGenerator: noderack\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    write_wheel(target, entries, info)


def _files(source: Path) -> Iterator[tuple[str, Path]]:
    for part, prefix in PARTS:
        for file in sorted((source / part).rglob("*")):
            if file.suffix in KINDS:
                yield f"{prefix}{file.relative_to(source / part).as_posix()}", file


def _project(source: Path) -> dict[str, str]:
    project: dict[str, str] = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]
    return project


def _metadata(project: Mapping[str, str]) -> str:
    rows = {"Metadata-Version": "2.4", "Name": NAME, "Version": project["version"]}
    rows |= {"Summary": project["description"], "License-Expression": project["license"]}
    rows |= {"Requires-Python": project["requires-python"]}
    return "".join(f"{key}: {value}\n" for key, value in rows.items())
