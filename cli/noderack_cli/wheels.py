"""Wheels by address and hash: what uv would take for a version, and the pylock.toml that names just those."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import tomli_w
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from noderack_cli.uv_tool import simple_index, uv

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from packaging.tags import Tag

LOCK_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel of a version: where it is had (an address or a file), what it must hash to, its bytes."""

    name: str
    url: str
    sha256: str
    size: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Wheel:
        """From a row of a pylock.toml; raises KeyError, TypeError for one without sha256."""
        url = str(row.get("url") or row["path"])
        name = str(row.get("name") or unquote(url.rpartition("/")[2].partition("#")[0]))
        size = int(row.get("size", 0))
        if url.startswith("file:"):
            from urllib.request import url2pathname

            url = url2pathname(urlsplit(url).path)
            size = size or (Path(url).stat().st_size if Path(url).is_file() else 0)
        return cls(name, url, str(row["hashes"]["sha256"]), size)

    def row(self) -> dict[str, Any]:
        """The row of a pylock.toml."""
        place = {"url": self.url} if "://" in self.url else {"path": self.url}
        size = {"size": self.size} if self.size else {}
        return {"name": self.name, **place, **size, "hashes": {"sha256": self.sha256}}


def _index(wheels: Sequence[Wheel], registry: str) -> dict[str, str]:
    there = registry and all(is_at(wheel, registry) for wheel in wheels)
    return {"index": simple_index(registry)} if there else {}


def is_at(wheel: Wheel, registry: str) -> bool:
    """Whether the registry serves this wheel."""
    return wheel.url.startswith(f"{registry.rstrip('/')}/")


def fitting(wheels: Sequence[Wheel]) -> Wheel | None:
    """The one of a version's wheels that this platform would take."""
    if len(wheels) < 2:
        return wheels[0] if wheels else None
    ranks = _ranks()

    def rank(wheel: Wheel) -> int:
        try:
            tags = parse_wheel_filename(wheel.name)[3]
        except InvalidWheelFilename:
            return len(ranks)
        return min((ranks.get(tag, len(ranks)) for tag in tags), default=len(ranks))

    return min(wheels, key=rank, default=None)


@cache
def _ranks() -> dict[Tag, int]:
    from packaging.tags import sys_tags

    return {tag: rank for rank, tag in enumerate(sys_tags())}


def locate(
    pins: Mapping[str, str],
    python: Path,
    indexes: Sequence[str],
    cache: Path | None,
    args: Sequence[str] = (),
) -> dict[str, tuple[Wheel, ...]]:
    """The wheels of each pinned version, as the indexes know them; what they do not know is left out.

    One question to uv; when it fails over one name, halves are asked until that name stands alone.
    """
    if not pins:
        return {}
    command = ["pip", "compile", "--quiet", "--no-deps", "--no-build", "--no-header"]
    command += ["--format", "pylock.toml"]
    lines = "".join(f"{name}=={version}\n" for name, version in pins.items())
    ran = uv([*command, "--python", python, *indexes, *args, "-"], stdin=lines, cache_at=cache)
    if ran.code == 0:
        rows = tomllib.loads(ran.out)["packages"]
        return {str(canonicalize_name(row["name"])): _wheels(row) for row in rows}
    names = list(pins)
    if len(names) == 1 or "No solution found" not in ran.err:  # not a name, but the network
        return {}
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    found: dict[str, tuple[Wheel, ...]] = {}
    for half in halves:
        found |= locate({name: pins[name] for name in half}, python, indexes, cache, args)
    return found


def _wheels(row: Mapping[str, Any]) -> tuple[Wheel, ...]:
    found = []
    for wheel in row.get("wheels", ()):
        try:
            found.append(Wheel.of(wheel))
        except (KeyError, TypeError):  # an index that tells no sha256
            return ()
    return tuple(found)


def pylock(
    packages: Iterable[tuple[str, str, Sequence[Wheel]]], requires_python: str = "", registry: str = ""
) -> str:
    """The text of a pylock.toml (PEP 751) that uv and pip can install from: (name, version, wheels) each.

    What lies at `registry` is told to come from its index: uv keeps what it has by index.
    """
    rows = [
        {"name": name, "version": version, **_index(wheels, registry), "wheels": [w.row() for w in wheels]}
        for name, version, wheels in packages
    ]
    head = {"lock-version": LOCK_VERSION, "created-by": "noderack"}
    needs = {"requires-python": requires_python} if requires_python else {}
    return tomli_w.dumps({**head, **needs, "packages": rows})
