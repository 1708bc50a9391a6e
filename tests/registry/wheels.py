"""Wheels made by hand, so that tests can make wrong ones too."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}"


def metadata(name: str, version: str, extra: str = "", readme: str = "") -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{extra}\n{readme}"


def members(
    name: str = "grain",
    version: str = "1.0",
    *,
    types: tuple[str, ...] = ("Grain",),
    extra: str = "",
    readme: str = "",
    code: str = "NODE_CLASS_MAPPINGS = {}\n",
    facts: Mapping[str, object] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """The files of a good wheel, RECORD left out."""
    module = name.replace("-", "_").lower()
    info = f"{module}-{version}.dist-info"
    told = {"schema": 1, "node_types": {kind: {"input": {}} for kind in types}, **(facts or {})}
    found = {
        f"{module}/__init__.py": code.encode(),
        f"{info}/METADATA": metadata(name, version, extra, readme).encode(),
        f"{info}/WHEEL": WHEEL.encode(),
        f"{info}/entry_points.txt": f"[noderack.packs]\n{name} = {module}\n".encode(),
        f"{info}/noderack.json": json.dumps(told).encode(),
    }
    return {**found, **(files or {})}


def with_record(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with a true RECORD."""
    info = next(name.split("/")[0] for name in found if ".dist-info/" in name)
    lines = [record_line(name, data) for name, data in found.items()] + [f"{info}/RECORD,,"]
    return {**found, f"{info}/RECORD": ("\n".join(lines) + "\n").encode()}


def zipped(found: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The files as an archive, always the same bytes for the same files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in found.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = compression, 0o100644 << 16
            archive.writestr(entry, data)
    return out.getvalue()


def wheel_bytes(name: str = "grain", version: str = "1.0", **more: object) -> bytes:
    return zipped(with_record(members(name, version, **more)))  # type: ignore[arg-type]


def write_wheel(folder: Path, name: str = "grain", version: str = "1.0", **more: object) -> Path:
    """A good wheel in `folder`."""
    path = folder / f"{name.replace('-', '_').lower()}-{version}-py3-none-any.whl"
    path.write_bytes(wheel_bytes(name, version, **more))
    return path
