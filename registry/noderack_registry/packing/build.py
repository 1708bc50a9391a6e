"""Any pack source to a wheel that says which nodes it brings; the same input gives the same bytes."""

from __future__ import annotations

import configparser
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from noderack_registry.packing import backend, metadata, showcase, wheel
from noderack_registry.packing.check_needs import host_modules, silent_needs
from noderack_registry.packing.layout import GROUPS, Layout, entry_points, lay_out
from noderack_registry.packing.metadata import PackMetadata, metadata_text
from noderack_registry.packing.models import wanted_models
from noderack_registry.packing.source import Source, open_source
from noderack_registry.packing.syntax import TypesFound, read_modules
from noderack_registry.packing.wheel import Entry

GENERATOR = "noderack"
# What provides the modules that untouched packs import from their host.
COMPAT = "noderack-compat"
SIDE_SCRIPTS = {"install_script": "install.py", "prestartup": "prestartup_script.py"}


@dataclass(frozen=True, slots=True)
class BuiltWheel:
    """A finished wheel: where it is, what it says, which nodes were seen, and notes for the author."""

    path: Path
    metadata: PackMetadata
    types: TypesFound
    entry_modules: tuple[str, ...]
    sha256: str
    notes: tuple[str, ...] = ()


def build_wheel(
    where: str | Path, out: Path, *, name: str | None = None, version: str | None = None
) -> BuiltWheel:
    """Builds the pack at PATH, GIT[@REF] or ZIP into `out`. Raises PackError; then nothing is written."""
    with open_source(where) as source, tempfile.TemporaryDirectory(prefix="noderack-") as work:
        pack = metadata.read(source, name=name, pack_version=version)
        if backend.wanted(metadata.pyproject(source.root)):
            return _by_backend(source, pack, out, Path(work))
        return _by_layout(source, pack, out)


def _by_layout(source: Source, pack: PackMetadata, out: Path) -> BuiltWheel:
    """The tree as a package, with metadata of our making."""
    layout = lay_out(source)
    types = read_modules(source.root, [file for file, _ in layout.modules])
    needs = host_modules(source)
    pack = _with_silent_needs(source, pack, needs)
    info = wheel.dist_info(pack.name, pack.version)
    entries = layout.entries(source)
    entries.update(
        {f"{info}/licenses/{f}": Entry((source.root / f).read_bytes()) for f in pack.licence_files}
    )
    entries[f"{info}/METADATA"] = Entry(metadata_text(pack).encode("utf-8", "replace"))
    entries[f"{info}/WHEEL"] = Entry(_wheel_text())
    entries[f"{info}/entry_points.txt"] = Entry(entry_points(pack.name, layout))
    facts = _facts(source, pack, types, layout.prefix) | _side_scripts(source, layout)
    facts |= showcase.placed(showcase.shown(pack, source.files), layout.prefix, source.files)
    facts["host_modules"] = list(needs)
    entries[f"{info}/noderack.json"] = Entry(_json(facts))
    path = out / f"{wheel.wheel_name(pack.name)}-{pack.version}-py3-none-any.whl"
    return _finish(path, entries, info, pack, types, tuple(module for _, module in layout.modules))


def _with_silent_needs(source: Source, pack: PackMetadata, host: Sequence[str]) -> PackMetadata:
    """The pack asking for what hosts of the field bring as well: other libraries, and their own modules."""
    silent = silent_needs(source, pack)
    if silent:
        said = (
            f"imports {', '.join(silent)} without saying so, as its host brings that: the wheel asks for it"
        )
        pack = replace(pack, requires=(*pack.requires, *silent), notes=(*pack.notes, said))
    return replace(pack, requires=(*pack.requires, COMPAT)) if host else pack


def _by_backend(source: Source, pack: PackMetadata, out: Path, work: Path) -> BuiltWheel:
    """The wheel of the pack's own backend, with noderack.json put in and written anew."""
    built = backend.build(source.root, metadata.pyproject(source.root), work)
    entries, info = wheel.read_wheel(built)
    tree = work / "wheel"
    for name, entry in entries.items():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(entry.data)
    modules = _entry_modules(entries.get(f"{info}/entry_points.txt"))
    needs = host_modules(source)
    if needs and pack.name != COMPAT:
        asking = _with_silent_needs(source, pack, needs)
        entries[f"{info}/METADATA"] = _asking(
            entries[f"{info}/METADATA"], asking.requires[len(pack.requires) :]
        )
        pack = asking
    entries.update(_beside(source, entries, modules))
    files = [file for module in modules if (file := _module_file(tree, module))]
    types = read_modules(tree, files)
    prefix = str(Path(files[0]).parent) if files else ""
    facts = _facts(source, pack, types, prefix) | _brought_along(source, pack, entries, f"{info}/shown")
    entries[f"{info}/noderack.json"] = Entry(_json(facts))
    return _finish(out / built.name, entries, info, pack, types, modules)


def _asking(metadata_file: Entry, more: Sequence[str]) -> Entry:
    """METADATA with further requirements, at the end of its headers."""
    head, blank, body = metadata_file.data.partition(b"\n\n")
    known = head.decode("utf-8", "replace").splitlines()
    lines = (line for name in more if (line := f"Requires-Dist: {name}") not in known)
    added = b"".join(b"\n" + line.encode() for line in lines)
    return Entry(head.rstrip(b"\n") + added + (blank or b"\n") + body)


def _beside(source: Source, entries: Mapping[str, Entry], modules: tuple[str, ...]) -> dict[str, Entry]:
    """Files that the backend left out of a package that is the pack's whole tree: its code may read them."""
    found: dict[str, Entry] = {}
    for base in {module.replace(".", "/") for module in modules}:
        start = entries.get(f"{base}/__init__.py")
        if start is None or "__init__.py" not in source.files:
            continue
        if start.data == (source.root / "__init__.py").read_bytes():
            for file in source.files:
                if f"{base}/{file}" not in entries:
                    found[f"{base}/{file}"] = Entry((source.root / file).read_bytes())
    return found


def _finish(
    path: Path,
    entries: Mapping[str, Entry],
    info: str,
    pack: PackMetadata,
    types: TypesFound,
    modules: tuple[str, ...],
) -> BuiltWheel:
    wheel.write_wheel(path, entries, info)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return BuiltWheel(path, pack, types, modules, digest, (*pack.notes, *types.unseen))


def _facts(source: Source, pack: PackMetadata, types: TypesFound, prefix: str) -> dict[str, Any]:
    """noderack.json: what a registry and a host want to know without opening the code."""
    web = pack.comfy.get("web") or types.web
    clean = web.strip("./") if isinstance(web, str) else ""
    facts: dict[str, Any] = {
        "schema": 1,
        "node_types": dict(sorted(types.node_types.items())),
        "unseen": list(types.unseen),
        "models": wanted_models(pack),
        "web": "/".join(part for part in (prefix, clean) if part) if clean else None,
        "commit": source.commit,
        "repository": _repository(source, pack),
        "library": pack.library,
        "capabilities": sorted({str(one) for one in pack.noderack.get("capabilities") or ()}),
        "folder": source.folder,
        "title": pack.noderack.get("display-name") or pack.comfy.get("DisplayName"),
        "publisher": pack.comfy.get("PublisherId") or None,
        "changelog": showcase.changes(source.root, pack.version),
        "host_requires": list(pack.host_requires),
        "indexes": list(pack.indexes),
    }
    return facts


def _brought_along(
    source: Source, pack: PackMetadata, entries: dict[str, Entry], folder: str
) -> dict[str, Any]:
    """Pictures and workflows, which a build backend leaves out when they lie beside the package, put in."""
    found = showcase.shown(pack, source.files)
    listed = [found["icon"], found["banner"], *found["screenshots"], *found["workflows"]]
    beside = [showcase.picture_of(name, source.files) for name in found["workflows"]]
    for name in (name for name in (*listed, *beside) if name in source.files):
        entries[f"{folder}/{name}"] = Entry((source.root / name).read_bytes())
    return showcase.placed(found, folder, source.files)


def _repository(source: Source, pack: PackMetadata) -> str | None:
    named = (url for label, url in pack.urls.items() if canonicalize_name(label) in {"repository", "source"})
    return next(named, source.repository)


def _side_scripts(source: Source, layout: Layout) -> dict[str, Any]:
    """Scripts that other managers run by themselves: recorded with their hash, run by nobody unasked."""
    found: dict[str, Any] = {}
    for key, name in SIDE_SCRIPTS.items():
        if name in source.files:
            digest = hashlib.sha256((source.root / name).read_bytes()).hexdigest()
            found[key] = {"path": f"{layout.prefix}/{name}", "sha256": digest}
    return found


def _entry_modules(entry: Entry | None) -> tuple[str, ...]:
    """The modules that the entry points of our groups name, each once."""
    if entry is None:
        return ()
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.read_string(entry.data.decode())
    groups = [parser[group] for group in GROUPS if parser.has_section(group)]
    return tuple(
        dict.fromkeys(value.partition(":")[0].strip() for group in groups for value in group.values())
    )


def _module_file(tree: Path, module: str) -> str | None:
    base = module.replace(".", "/")
    return next((f for f in (f"{base}/__init__.py", f"{base}.py") if (tree / f).is_file()), None)


def _wheel_text() -> bytes:
    return f"Wheel-Version: 1.0\nGenerator: {GENERATOR}\nRoot-Is-Purelib: true\nTag: py3-none-any\n".encode()


def _json(facts: Mapping[str, Any]) -> bytes:
    # Lone surrogates cannot be written as UTF-8; \u escapes can hold them.
    text = json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (re.sub(r"[\ud800-\udfff]", lambda m: f"\\u{ord(m[0]):04x}", text) + "\n").encode()
