"""The checks in their order: structure, names, sizes, RECORD, metadata, modules, capabilities."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from packaging.metadata import Metadata

from noderack_registry import names
from noderack_registry.gate import framing
from noderack_registry.gate.capabilities import Finding, scan
from noderack_registry.gate.metadata import (
    GROUPS,
    PackFacts,
    check_wheel_file,
    read_entry_points,
    read_file_name,
    read_metadata,
    read_pack_facts,
)
from noderack_registry.gate.paths import check_names
from noderack_registry.gate.record import Digest, check_record
from noderack_registry.gate.verdict import BadWheel

# The namespace package that packs without a package of their own are laid into, each in a folder of its own.
SHARED = "custom_nodes"
_STARTUP = frozenset({"sitecustomize.py", "usercustomize.py"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a wheel may hold: bytes of the file, unpacked, of Python; entries; unpacked over packed."""

    file: int = 100 << 20
    unpacked: int = 1 << 30
    entries: int = 20_000
    code: int = 32 << 20
    ratio: int = 50
    ratio_from: int = 16 << 20
    several_packages: frozenset[str] = frozenset({"noderack-compat"})


@dataclass(frozen=True, slots=True)
class InspectedWheel:
    """A wheel that passed, and all that the registry needs to know of it."""

    filename: str
    name: str
    version: str
    size: int
    metadata: Metadata
    metadata_bytes: bytes
    entry_points: Mapping[str, Mapping[str, str]]
    facts: PackFacts
    files: Mapping[str, Digest]
    findings: tuple[Finding, ...]
    texts: Mapping[str, bytes]

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the pack says it does and what its code was seen to do."""
        return tuple(sorted({*self.facts.capabilities, *(finding.rule for finding in self.findings)}))

    @property
    def is_pack(self) -> bool:
        return any(self.entry_points.get(group) for group in GROUPS)


def inspect(path: Path, filename: str | None = None, limits: Limits | None = None) -> InspectedWheel:
    """Check the wheel at `path` (called `filename` by its sender). Raises BadWheel; touches nothing else."""
    limits = limits or Limits()
    filename = filename or path.name
    read_file_name(filename)
    size = path.stat().st_size
    if size > limits.file:
        raise BadWheel("too-large", f"{size} bytes; the most is {limits.file}")
    with path.open("rb") as file:
        entries = framing.entries(file, size, limits.entries)
        check_names(entry.name for entry in entries)
        _check_bomb(entries, size, limits)
        digests, texts = _unpack(file, entries)
    return _read(filename, size, digests, texts, limits)


def _check_bomb(entries: tuple[framing.Entry, ...], size: int, limits: Limits) -> None:
    unpacked = sum(entry.size for entry in entries)
    if unpacked > limits.unpacked:
        raise BadWheel("bomb", f"it unpacks to {unpacked} bytes; the most is {limits.unpacked}")
    code = sum(entry.size for entry in entries if entry.name.endswith(".py"))
    if code > limits.code:
        raise BadWheel("too-much-code", f"{code} bytes of Python; the most is {limits.code}")
    if unpacked > limits.ratio_from and unpacked > size * limits.ratio:
        raise BadWheel("bomb", f"it unpacks to {unpacked // max(size, 1)} times its size")


def _unpack(file: BinaryIO, entries: tuple[framing.Entry, ...]) -> tuple[dict[str, Digest], dict[str, bytes]]:
    """Hash every file, and keep the bytes of those that are read further."""
    digests, texts = {}, {}
    for entry in entries:
        if entry.is_folder:
            if entry.size or entry.packed:
                raise BadWheel("zip-corrupt", "is a folder with content", entry.name)
            continue
        data = b"".join(framing.content(file, entry))
        digests[entry.name] = Digest.of(data)
        if _is_kept(entry.name):
            texts[entry.name] = data
    return digests, texts


def _is_kept(name: str) -> bool:
    return name.endswith(".py") or ".dist-info/" in name or "/example_workflows/" in name


def _read(
    filename: str,
    size: int,
    digests: dict[str, Digest],
    texts: dict[str, bytes],
    limits: Limits,
) -> InspectedWheel:
    parts = read_file_name(filename)
    info = parts.dist_info
    folders = {name.split("/")[0] for name in digests if name.split("/")[0].endswith(".dist-info")}
    if folders != {info}:
        raise BadWheel("dist-info-missing", f"expected {info}, found {', '.join(sorted(folders)) or 'none'}")
    check_record(_need(texts, f"{info}/RECORD", "record-missing"), f"{info}/RECORD", digests)
    check_wheel_file(_need(texts, f"{info}/WHEEL", "wheel-file-missing"), f"{info}/WHEEL", parts)
    raw_metadata = _need(texts, f"{info}/METADATA", "metadata-missing")
    metadata = read_metadata(raw_metadata, f"{info}/METADATA", parts)
    points_place = f"{info}/entry_points.txt"
    points = read_entry_points(texts[points_place], points_place) if points_place in texts else {}
    facts = read_pack_facts(texts.get(f"{info}/noderack.json"), f"{info}/noderack.json")
    _check_modules(digests, info, several=parts.name in limits.several_packages)
    if not facts.library and not any(points.get(group) for group in GROUPS):
        raise BadWheel("not-a-pack", "it has no entry point that brings nodes")
    return InspectedWheel(
        filename=filename,
        name=str(metadata.name),
        version=str(metadata.version),
        size=size,
        metadata=metadata,
        metadata_bytes=raw_metadata,
        entry_points=points,
        facts=facts,
        files=digests,
        findings=scan(texts),
        texts={
            name: data for name, data in texts.items() if ".dist-info/" in name or not name.endswith(".py")
        },
    )


def _need(texts: Mapping[str, bytes], place: str, code: str) -> bytes:
    if place not in texts:
        raise BadWheel(code, "is not in the archive", place)
    return texts[place]


def _check_modules(files: Mapping[str, Any], info: str, several: bool) -> None:
    tops = set()
    for name in sorted(files):
        top, _, rest = name.partition("/")
        if name.endswith(".pth") or name.rpartition("/")[2] in _STARTUP:
            raise BadWheel("startup-hook", "would run at every start of Python", name)
        if top.endswith(".data") and rest:
            raise BadWheel("data-directory", "would be installed outside of the pack", name)
        if top == SHARED and rest != "__init__.py":
            tops.add(f"{SHARED}/{rest.partition('/')[0].removesuffix('.py')}")
        elif top != info:
            tops.add(top if rest else top.partition(".")[0])
    if several:
        return
    if len(tops) > 1:
        raise BadWheel("top-level", f"it has {len(tops)} top-level names: {', '.join(sorted(tops)[:5])}")
    for top in tops:
        if top.lower() in names.HOST_MODULES or top in sys.stdlib_module_names:
            raise BadWheel("foreign-module", "is the name of a module that others import", top)
