"""A pack's version, found without running its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

ASSIGNED = re.compile(
    r"""^(?:__version__|VERSION|version)\s*(?::\s*\w+\s*)?=\s*['"]([^'"]+)['"]""", re.MULTILINE
)
NUMBERS = re.compile(r"\d+(?:\.\d+){0,3}")


def normal(text: str) -> str | None:
    """`text` as a PEP 440 version; what is none keeps its leading numbers; else None."""
    try:
        version = Version(text.strip().lstrip("vV="))
    except InvalidVersion:
        found = NUMBERS.search(text)
        return str(Version(found[0])) if found else None
    return version.public  # an index takes no local part


def declared(root: Path, project: Mapping[str, Any], tool: Mapping[str, Any]) -> str | None:
    """The version that pyproject.toml gives or points to."""
    if isinstance(project.get("version"), str):
        return normal(project["version"])
    if "version" not in project.get("dynamic", ()):
        return None
    for file, name in _places(tool):
        if found := in_file(root / file, name):
            return found
    return None


def _places(tool: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """The files, and names in them, that the tools of pyproject.toml read a dynamic version from."""
    comfy = tool.get("comfy", {}).get("version", {})
    hatch = tool.get("hatch", {}).get("version", {})
    dynamic = tool.get("setuptools", {}).get("dynamic", {}).get("version", {})
    places: list[tuple[str, str | None]] = [
        (table["path"], None) for table in (comfy, hatch) if "path" in table
    ]
    if isinstance(dynamic.get("file"), str):
        places.append((dynamic["file"], None))
    if isinstance(dynamic.get("attr"), str):
        module, _, name = dynamic["attr"].rpartition(".")
        places += [(f"{module.replace('.', '/')}{end}", name) for end in (".py", "/__init__.py")]
    return places


def in_file(file: Path, name: str | None = None) -> str | None:
    """A version written in a file: a constant of that name (or a usual one), or all of a text file."""
    if not file.is_file():
        return None
    text = file.read_text("utf-8", "replace")
    if file.suffix != ".py":
        return normal(text) if len(text.strip()) < 40 else None
    return _constant(text, name) or ((found := ASSIGNED.search(text)) and normal(found[1])) or None


def _constant(text: str, name: str | None) -> str | None:
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    for statement in module.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        if names & ({name} if name else {"__version__", "VERSION", "version"}):
            return _version_of(statement.value)
    return None


def _version_of(value: ast.expr) -> str | None:
    try:
        literal = ast.literal_eval(value)
    except ValueError:
        return None
    if isinstance(literal, tuple | list):
        return normal(".".join(map(str, literal)))
    return normal(literal) if isinstance(literal, str) else None


def from_date(when: datetime) -> str:
    """A version for a commit that has none: grows with time, stays below any the author may choose."""
    return f"0.0.{when.astimezone(timezone.utc):%Y%m%d%H%M}"
