"""What a pack shows of itself: icon, banner, screenshots, example workflows, and what changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.version import InvalidVersion, Version

from noderack_registry.packing.metadata import PackMetadata

# The folders in which hosts of the field look for example workflows.
WORKFLOW_FOLDERS = ("example_workflows", "example", "examples", "workflow", "workflows")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
MOST_SCREENSHOTS, MOST_WORKFLOWS = 12, 100
CHANGELOGS = ("CHANGELOG.md", "CHANGES.md", "HISTORY.md", "changelog.md", "Changelog.md")
LONGEST_CHANGELOG = 10_000
_RAW = re.compile(r"/[^/]+/[^/]+/(?:(?:blob|raw)/)?(?:refs/(?:heads|tags)/)?[^/]+/(?P<path>.+)")
_PICTURE = re.compile(r"!\[[^\]]*\]\(\s*<?([^)\s>]+)")
_HEADING = re.compile(r"^(#{1,4})\s+\W*(?:version\s+|release\s+)?v?(?P<version>\d[\w.+-]*)", re.I)


def shown(pack: PackMetadata, files: Iterable[str]) -> dict[str, Any]:
    """icon, banner, screenshots, workflows: paths among `files`, or the address that was told.

    An address that leads into the pack's own repository stands for the file of that path, if it ships.
    """
    own = set(files)
    icon = pack.noderack.get("icon") or pack.comfy.get("Icon") or _found(own, "icon") or _found(own, "logo")
    banner = pack.noderack.get("banner") or pack.comfy.get("Banner")
    told = pack.noderack.get("screenshots") or ()
    shots = [place for one in told if (place := _place(one, own))] if isinstance(told, list) else []
    return {
        "icon": _place(icon, own),
        "banner": _place(banner, own),
        "screenshots": shots[:MOST_SCREENSHOTS],
        "workflows": workflows(own),
    }


def workflows(files: Iterable[str]) -> list[str]:
    """The example workflows, where hosts look for them."""
    found = (f for f in files if f.split("/")[0] in WORKFLOW_FOLDERS and f.endswith(".json"))
    return sorted(found)[:MOST_WORKFLOWS]


def picture_of(workflow: str, files: Iterable[str]) -> str | None:
    """The picture beside a workflow, which has its name."""
    own = set(files)
    stem = workflow.removesuffix(".json")
    return next((stem + end for end in PICTURES if stem + end in own), None)


def pictures_in(readme: str, files: Iterable[str]) -> list[str]:
    """The pack's own files that a README in Markdown shows as pictures, by the address it gives them."""
    own = set(files)
    told = re.findall(r"!\[[^\]]*\]\(\s*<?([^)\s>]+)", readme) + re.findall(
        r"<img[^>]+src=[\"']([^\"']+)", readme
    )
    return [one for one in dict.fromkeys(told) if (place := _place(one, own)) and place in own]


def _found(own: set[str], stem: str) -> str | None:
    return next((f"{stem}{end}" for end in PICTURES if f"{stem}{end}" in own), None)


def _place(told: Any, own: set[str]) -> str | None:
    """A file's path, or an address of somebody else's as it is; None for what is neither."""
    if not isinstance(told, str) or not told.strip():
        return None
    told = told.strip()
    parts = urlsplit(told)
    if not parts.scheme:
        path = str(PurePosixPath(unquote(parts.path).removeprefix("./")))
        return path if path in own else None
    if parts.scheme not in ("http", "https"):
        return None
    inside = _RAW.fullmatch(unquote(parts.path)) if parts.netloc.lower() in _HOSTS else None
    return inside["path"] if inside and inside["path"] in own else told


_HOSTS = {"github.com", "www.github.com", "raw.githubusercontent.com", "gitlab.com", "codeberg.org"}


def local(told: str, files: Iterable[str]) -> str | None:
    """The pack's own file that an address or a path stands for, None if it stands for none."""
    own = set(files)
    place = _place(told, own)
    return place if place in own else None


def placed(found: Mapping[str, Any], prefix: str, own: Sequence[str]) -> dict[str, Any]:
    """`shown` with paths as they are in a wheel, below `prefix`; addresses stay."""
    inside = set(own)

    def place(value: Any) -> Any:
        if isinstance(value, list):
            return [place(item) for item in value]
        return f"{prefix}/{value}" if value in inside else value

    return {key: place(value) for key, value in found.items()}


def changes(root: Path, version: str) -> str:
    """What the pack's changelog says of `version`: the text below its heading, '' if it has none."""
    file = next((root / name for name in CHANGELOGS if (root / name).is_file()), None)
    return section(file.read_text("utf-8", "replace"), version) if file else ""


def section(text: str, version: str) -> str:
    """The part of a changelog in Markdown below the heading with this version."""
    taken: list[str] = []
    level = 0
    for line in text.splitlines():
        found = _HEADING.match(line)
        depth = len(line) - len(line.lstrip("#")) if line.startswith("#") else 0
        if level and depth and depth <= level:
            break
        if level:
            taken.append(line)
        elif found and _same(found["version"], version):
            level = len(found[1])
    return "\n".join(taken).strip()[:LONGEST_CHANGELOG]


def _same(one: str, other: str) -> bool:
    try:
        return Version(one.rstrip(".-")) == Version(other)
    except InvalidVersion:
        return False
