"""What the wheel says of itself: file name, WHEEL, METADATA, entry points, noderack.json; all must agree."""

from __future__ import annotations

import configparser
import email.parser
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packaging.metadata import Metadata
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from noderack_registry import names, wire
from noderack_registry.errors import Malformed
from noderack_registry.gate.verdict import BadWheel
from noderack_registry.schema import ModelManifest

GROUPS = ("noderack.packs", "comfyui.custom_nodes")
EXTRA = ("banner", "changelog", "icon", "screenshots", "title", "workflows")
LARGEST_METADATA = 1 << 20
LARGEST_README = 256 << 10
_OBJECT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\s*:\s*[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?")
_ENTRY_NAME = re.compile(r"[\w.-]+( [\w.-]+)*")


@dataclass(frozen=True, slots=True)
class FileName:
    """The parts of a wheel's file name."""

    name: str
    version: Version
    tags: frozenset[Tag]
    dist_info: str


@dataclass(frozen=True, slots=True)
class PackFacts:
    """dist-info/noderack.json, read: node types with their entries, models, and what the pack declares."""

    node_types: Mapping[str, Any]
    models: tuple[ModelManifest, ...]
    library: bool
    capabilities: tuple[str, ...]
    web: str | None
    commit: str | None
    origin: str
    extra: Mapping[str, Any]


def read_file_name(filename: str) -> FileName:
    """Raises BadWheel if this is no wheel's name, or no name for a pack."""
    try:
        name, version, _, tags = parse_wheel_filename(filename)
        names.check(name)
    except (InvalidWheelFilename, names.BadName) as cause:
        raise BadWheel("file-name", f"{filename[:120]!r} is not a wheel's file name ({cause})") from cause
    first, second = filename.split("-")[:2]
    return FileName(name, version, tags, f"{first}-{second}.dist-info")


def check_wheel_file(data: bytes, place: str, expected: FileName) -> None:
    """dist-info/WHEEL gives a format we know and the tags of the file name."""
    message = email.parser.BytesParser().parsebytes(data)
    if str(message.get("Wheel-Version", "")).split(".")[0] != "1":
        raise BadWheel("wheel-file", f"Wheel-Version is {message.get('Wheel-Version')!r}", place)
    said = set()
    for tag in message.get_all("Tag", []):
        python, abi, platform = [*str(tag).split("-"), "", ""][:3]
        said |= {Tag(p, a, f) for p in python.split(".") for a in abi.split(".") for f in platform.split(".")}
    if said != expected.tags:
        raise BadWheel("wheel-file", "its tags are not those of the file name", place)


def read_metadata(data: bytes, place: str, expected: FileName) -> Metadata:
    """dist-info/METADATA, every field checked. Raises BadWheel naming the first fault."""
    if len(data) > LARGEST_METADATA:
        raise BadWheel("metadata-too-large", f"{len(data)} bytes; the most is {LARGEST_METADATA}", place)
    try:
        metadata = Metadata.from_email(data, validate=True)
    except Exception as cause:  # packaging gathers its complaints in an exception group
        raise BadWheel("metadata-invalid", _first_complaint(cause), place) from cause
    if canonicalize_name(metadata.name) != expected.name:
        raise BadWheel(
            "metadata-name", f"Name is {metadata.name!r}, the file name says {expected.name!r}", place
        )
    if metadata.version != expected.version:
        raise BadWheel("metadata-version", f"Version is {metadata.version}, not {expected.version}", place)
    if metadata.version.local:
        raise BadWheel("local-version", f"{metadata.version} is a local version", place)
    for requirement in metadata.requires_dist or []:
        if requirement.url:
            raise BadWheel("direct-url", f"Requires-Dist: {requirement}", place)
    _check_texts(metadata, place)
    return metadata


def _first_complaint(cause: Exception) -> str:
    inner = getattr(cause, "exceptions", (cause,))
    return "; ".join(str(item) for item in inner[:3])[:500]


def _check_texts(metadata: Metadata, place: str) -> None:
    if metadata.summary and len(metadata.summary) > 512:
        raise BadWheel("metadata-invalid", "Summary is longer than 512 characters", place)
    if len(metadata.description or "") > LARGEST_README:
        raise BadWheel("metadata-too-large", f"the README is longer than {LARGEST_README} characters", place)
    if any(marker in text for text in _texts(metadata) for marker in "\x00\x1b"):
        raise BadWheel("metadata-invalid", "control characters in a text", place)
    for label, url in (metadata.project_urls or {}).items():
        if not url.startswith(("http://", "https://")):
            raise BadWheel("metadata-invalid", f"Project-URL {label!r} is not an http(s) address", place)


def _texts(metadata: Metadata) -> list[str]:
    return [
        text for text in (metadata.summary, metadata.description, metadata.author, metadata.license) if text
    ]


def read_entry_points(data: bytes, place: str) -> Mapping[str, Mapping[str, str]]:
    """group → name → object reference; only our groups, only importable references. Raises BadWheel."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    try:
        parser.read_string(data.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as cause:
        raise BadWheel("entry-points", f"cannot be read ({cause})", place) from cause
    found = {group: dict(parser.items(group)) for group in parser.sections()}
    for group, items in found.items():
        if group not in GROUPS:
            raise BadWheel("entry-points", f"group {group!r} would reach outside of the pack", place)
        for name, value in items.items():
            if not _ENTRY_NAME.fullmatch(name) or not _OBJECT.fullmatch(value.strip()):
                raise BadWheel("entry-points", f"{name[:60]} = {value[:60]} cannot be imported", place)
    return found


def read_pack_facts(data: bytes | None, place: str) -> PackFacts:
    """dist-info/noderack.json; nothing known when there is none. Raises BadWheel."""
    try:
        raw = json.loads(data) if data is not None else {}
        if not isinstance(raw, dict):
            raise Malformed("", "is not an object")
        raw = json.loads(json.dumps(raw, ensure_ascii=False).encode("utf-8", "replace"))  # lone surrogates
        if raw.get("schema", 1) != 1:
            raise Malformed("schema", f"is {raw['schema']!r}; this registry knows 1")
        return PackFacts(
            node_types=_node_types(raw.get("node_types") or {}),
            models=_models(raw.get("models") or []),
            library=raw.get("library") is True,
            capabilities=_strings(raw.get("capabilities") or [], "capabilities"),
            web=_text(raw.get("web"), "web"),
            commit=_text(raw.get("commit"), "commit"),
            origin="syntax" if raw.get("origin") == "syntax" else "declared",
            extra={key: raw[key] for key in EXTRA if key in raw},
        )
    except (ValueError, RecursionError) as cause:
        raise BadWheel("noderack-json", str(cause)[:300] or "is nested too deeply", place) from cause


def _node_types(raw: Any) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or len(raw) > 5000:
        raise Malformed("node_types", "must be an object with at most 5000 types")
    for name, entry in raw.items():
        if not 0 < len(name) <= 200 or not name.isprintable():
            raise Malformed("node_types", f"{name[:60]!r} is not a name for a node type")
        if not isinstance(entry, dict):
            raise Malformed(f"node_types.{name}", "must be an object")
    json.dumps(raw, allow_nan=False).encode()  # NaN cannot go into JSON that others read
    return raw


def _models(raw: Any) -> tuple[ModelManifest, ...]:
    """Model wishes of any vintage: what is no full manifest (no folder, say) is refused with its place."""
    if not isinstance(raw, list):
        raise Malformed("models", "must be a list")
    return tuple(wire.read(ModelManifest, item, f"models[{at}]") for at, item in enumerate(raw))


def _strings(raw: Any, where: str) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        raise Malformed(where, "must be a list of strings")
    return tuple(sorted(set(raw)))


def _text(raw: Any, where: str) -> str | None:
    if raw is not None and not isinstance(raw, str):
        raise Malformed(where, "must be a string")
    return raw
