"""Wheels for tests, written by hand: a pack is a module with nodes, an entry point and noderack.json."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

NODE = """
class {name}:
    CATEGORY = "test"
    FUNCTION = "run"
    RETURN_TYPES = ("INT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {{"required": {{"value": ("INT", {{"default": 1}})}}}}

    def run(self, value):
        return (value,)
"""


def nodes_source(types: Sequence[str], extra: str = "") -> str:
    """The source of a module with those node types; `extra` runs at its import."""
    classes = "".join(NODE.format(name=f"N{i}") for i in range(len(types)))
    mapping = ", ".join(f"{t!r}: N{i}" for i, t in enumerate(types))
    return f"{extra}\n{classes}\nNODE_CLASS_MAPPINGS = {{{mapping}}}\n"


def wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    types: Sequence[str] = (),
    declared: Sequence[str] | None = None,
    requires: Sequence[str] = (),
    source: str | None = None,
    library: bool = False,
    files: Mapping[str, bytes] | None = None,
    beside: Mapping[str, bytes] | None = None,
    scripts: Mapping[str, str] | None = None,
) -> Path:
    """Write a wheel; `declared` are the types that its noderack.json claims (those it has, if not given).

    `files` lie in its module, `beside` beside that; `scripts` are console scripts.
    """
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    claims = {t: {} for t in (types if declared is None else declared)}
    content: dict[str, bytes] = {
        f"{module}/__init__.py": (nodes_source(types) if source is None else source).encode(),
        **{f"{module}/{path}": body for path, body in (files or {}).items()},
        **(beside or {}),
        f"{info}/METADATA": _metadata(name, version, requires).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/noderack.json": json.dumps({"schema": 1, "node_types": claims, "library": library}).encode(),
    }
    entries = [] if library else ["[noderack.packs]", f"{module} = {module}"]
    entries += ["[console_scripts]", *(f"{k} = {v}" for k, v in scripts.items())] if scripts else []
    if entries:
        content[f"{info}/entry_points.txt"] = ("\n".join(entries) + "\n").encode()
    rows = [f"{path},sha256={_digest(body)},{len(body)}" for path, body in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, body in content.items():
            archive.writestr(path, body)
    return file


def _metadata(name: str, version: str, requires: Sequence[str]) -> str:
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", "Summary: A test"]
    return "\n".join([*lines, "Requires-Python: >=3.10", *(f"Requires-Dist: {r}" for r in requires), "", ""])


def _digest(body: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
