"""What a pack says about itself: pyproject.toml, requirements.txt, and what the source itself tells."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from noderack_registry.packing import requirements, version
from noderack_registry.packing.errors import MetadataError
from noderack_registry.packing.source import Source

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Distributions that are the host itself: which one runs is not for a pack to install.
HOSTS = re.compile(r"comfyui[-_.]?(frontend|workflow|embedded).*|comfyui")
READMES = ("README.md", "readme.md", "Readme.md", "README.rst", "README.txt", "README")


@dataclass(frozen=True, slots=True)
class PackMetadata:
    """What METADATA and noderack.json will say. `notes` are findings for the author, not errors."""

    name: str
    version: str
    summary: str = ""
    readme: str = ""
    readme_type: str = "text/markdown"
    licence: str | None = None
    licence_text: str | None = None
    licence_files: tuple[str, ...] = ()
    requires_python: str | None = None
    requires: tuple[str, ...] = ()
    host_requires: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict)
    keywords: tuple[str, ...] = ()
    classifiers: tuple[str, ...] = ()
    comfy: Mapping[str, Any] = field(default_factory=dict)
    noderack: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def library(self) -> bool:
        """Whether the pack says that it is for other packs and has no nodes."""
        return self.noderack.get("library") is True


def pyproject(root: Path) -> Mapping[str, Any]:
    """pyproject.toml as a mapping; empty when there is none. Raises MetadataError when it cannot be read."""
    file = root / "pyproject.toml"
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(requirements.decode(file.read_bytes()))
    except tomllib.TOMLDecodeError as cause:
        raise MetadataError(f"{file}: {cause}", "mend the line that is named there") from cause


def read(source: Source, *, name: str | None = None, pack_version: str | None = None) -> PackMetadata:
    """All metadata of a source; `name` and `pack_version` stand in for what it lacks or gets wrong."""
    table = pyproject(source.root)
    project, tool = _table(table, "project"), _table(table, "tool")
    notes: list[str] = []
    requires, host = _requires(source.root, project, notes)
    licence, licence_text = _licence(source.root, project)
    readme, readme_type = _readme(source.root, project)
    return PackMetadata(
        name=_name(source, project, name),
        version=_version(source, project, tool, pack_version, notes),
        summary=" ".join(str(project.get("description", "")).split()),
        readme=readme,
        readme_type=readme_type,
        licence=licence,
        licence_text=licence_text,
        licence_files=_licence_files(source.files),
        requires_python=_requires_python(project, notes),
        requires=requires.requires,
        host_requires=host,
        indexes=requires.indexes,
        authors=_authors(project),
        urls={str(k): str(v) for k, v in _table(project, "urls").items() if v},
        keywords=tuple(map(str, project.get("keywords", ()))),
        classifiers=tuple(map(str, project.get("classifiers", ()))),
        comfy=_table(tool, "comfy"),
        noderack=_table(tool, "noderack"),
        notes=(*notes, *requires.notes),
    )


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _name(source: Source, project: Mapping[str, Any], given: str | None) -> str:
    text = given or project.get("name") or source.folder
    name = canonicalize_name(re.sub(r"[^A-Za-z0-9._-]+", "-", str(text))).strip("-")
    if not name:
        raise MetadataError(f"{source.shown}: no name can be made of {text!r}", "give one with --name")
    return name


def _version(
    source: Source, project: Mapping[str, Any], tool: Mapping[str, Any], given: str | None, notes: list[str]
) -> str:
    """Given, declared, in the code, tag, commit date, in this order; 0.0.0 for a folder with none of them."""
    if given:
        if not (chosen := version.normal(given)):
            raise MetadataError(f"{given!r} is no version", "give one such as 1.2.3")
        return chosen
    if found := version.declared(source.root, project, tool):
        return found
    notes.append("no version is declared: the one given here comes from the source")
    if source.tag and (found := version.normal(source.tag)):
        return found
    code = source.files[0] if len(source.files) == 1 else "__init__.py"
    if found := version.in_file(source.root / code, "__version__"):
        return found
    return version.from_date(source.date) if source.date else "0.0.0"


def _requires(
    root: Path, project: Mapping[str, Any], notes: list[str]
) -> tuple[requirements.Requirements, tuple[str, ...]]:
    """Requirements of both places as one, and those on the host itself apart."""
    lines = [str(line) for line in project.get("dependencies", ()) or ()]
    declared = requirements.read("\n".join(lines))
    notes += [note.replace("requirements.txt:", "project.dependencies, entry ") for note in declared.notes]
    file = root / "requirements.txt"
    dynamic = "dependencies" in project.get("dynamic", ()) or not lines
    text = requirements.decode(file.read_bytes()) if file.is_file() else ""
    read = requirements.read(text, lambda name: _included(root, name))
    every = requirements.merge((*declared.requires, *read.requires))
    if not dynamic and set(read.requires) - set(declared.requires):
        notes.append("requirements.txt and [project].dependencies differ: the wheel asks for both")
    host = tuple(
        line for line in every if HOSTS.fullmatch(canonicalize_name(re.split(r"[ \[;<>=!~@]", line)[0]))
    )
    kept = tuple(line for line in every if line not in host)
    return requirements.Requirements(kept, read.indexes, read.notes), host


def _included(root: Path, name: str) -> str | None:
    file = (root / name).resolve()
    return (
        requirements.decode(file.read_bytes())
        if file.is_relative_to(root.resolve()) and file.is_file()
        else None
    )


def _requires_python(project: Mapping[str, Any], notes: list[str]) -> str | None:
    text = project.get("requires-python")
    if not text:
        return None
    try:
        return str(SpecifierSet(str(text)))
    except InvalidSpecifier:
        notes.append(f"requires-python {text!r} is not a version specifier and is left out")
        return None


def _licence(root: Path, project: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """An SPDX expression if the pack gives one, else the words it uses."""
    value = project.get("license")
    text = value.get("text") if isinstance(value, Mapping) else value
    if not text or not isinstance(text, str):
        return None, None
    try:
        return str(canonicalize_license_expression(text.strip())), None
    except InvalidLicenseExpression:
        first = text.strip().splitlines()[0][:200]
        return None, first


def _licence_files(files: Sequence[str]) -> tuple[str, ...]:
    names = ("license", "licence", "copying", "notice")
    return tuple(f for f in files if "/" not in f and PurePosixPath(f).stem.lower().startswith(names))


def _readme(root: Path, project: Mapping[str, Any]) -> tuple[str, str]:
    declared = project.get("readme")
    name = declared.get("file") if isinstance(declared, Mapping) else declared
    for candidate in (name, *READMES):
        if isinstance(candidate, str) and (text := _included(root, candidate)) is not None:
            kind = {".md": "text/markdown", ".rst": "text/x-rst"}.get(PurePosixPath(candidate).suffix.lower())
            return text, kind or "text/plain"
    return "", "text/markdown"


def _authors(project: Mapping[str, Any]) -> tuple[str, ...]:
    people = [person for person in project.get("authors", ()) or () if isinstance(person, Mapping)]
    return tuple(str(person["name"]) for person in people if person.get("name"))


def metadata_text(pack: PackMetadata) -> str:
    """The METADATA file (core metadata 2.4)."""
    lines = ["Metadata-Version: 2.4", f"Name: {pack.name}", f"Version: {pack.version}"]
    lines += [f"Summary: {pack.summary[:512]}"] if pack.summary else []
    lines += [f"Author: {', '.join(pack.authors)}"] if pack.authors else []
    lines += [f"License-Expression: {pack.licence}"] if pack.licence else []
    lines += [f"License: {pack.licence_text}"] if pack.licence_text else []
    lines += [f"License-File: {name}" for name in pack.licence_files]
    lines += [f"Keywords: {','.join(pack.keywords)}"] if pack.keywords else []
    lines += [
        f"Classifier: {c}" for c in pack.classifiers if not (pack.licence and c.startswith("License ::"))
    ]
    lines += [f"Requires-Python: {pack.requires_python}"] if pack.requires_python else []
    lines += [f"Requires-Dist: {requirement}" for requirement in pack.requires]
    lines += [f"Project-URL: {label[:32]}, {url}" for label, url in pack.urls.items()]
    lines += [f"Description-Content-Type: {pack.readme_type}"] if pack.readme else []
    head = "\n".join(" ".join(line.splitlines()) for line in lines) + "\n"
    return f"{head}\n{pack.readme}" if pack.readme else head
