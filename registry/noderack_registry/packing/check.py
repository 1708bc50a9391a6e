"""What of a pack would break or alarm, before anybody installs it; and the mechanical part of mending."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from noderack_registry.packing import check_classes, check_code, check_needs, check_nodes, metadata
from noderack_registry.packing.errors import NoNodes
from noderack_registry.packing.finding import Edit, Finding, order
from noderack_registry.packing.layout import source_modules
from noderack_registry.packing.opened_wheel import open_wheel
from noderack_registry.packing.source import Source, open_source
from noderack_registry.packing.syntax import TypesFound, read_modules


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, worst first, and the node types that were seen."""

    findings: tuple[Finding, ...]
    types: TypesFound

    @property
    def passes(self) -> bool:
        """Whether nothing would break: warnings and notes are allowed."""
        return not any(finding.level == "error" for finding in self.findings)


def check(where: str | Path, taken: Mapping[str, str] | None = None) -> Report:
    """Checks the pack at PATH, GIT[@REF], ZIP or WHEEL unrun; `taken` maps node types to other packs."""
    if str(where).endswith(".whl"):
        return check_wheel(Path(where), taken)
    with open_source(where) as source:
        return check_source(source, taken or {})


def check_wheel(path: Path, taken: Mapping[str, str] | None = None) -> Report:
    """What a registry finds in a wheel; of an untouched pack the same as in the folder it was made of."""
    with open_wheel(path) as wheel:
        if wheel.prefix:
            return check_source(wheel.source, taken or {})
        needs = (*_described(wheel.pack, "METADATA"), *check_needs.distributions(wheel.pack))
        return _report(wheel.source, wheel.pack, wheel.modules, needs, taken or {})


def check_source(source: Source, taken: Mapping[str, str]) -> Report:
    """The same for an opened source."""
    pack = metadata.read(source)
    needs = (
        *_metadata(source, pack),
        *check_needs.requirements(source),
        *check_needs.declared_in_project(source, metadata.pyproject(source.root)),
    )
    try:
        return _report(source, pack, source_modules(source, metadata.pyproject(source.root)), needs, taken)
    except NoNodes as cause:
        nothing = Finding("no-nodes", "error", ".", 0, cause.message, cause.hint)
        return _report(source, pack, (), (nothing, *needs), taken)


def _report(
    source: Source,
    pack: metadata.PackMetadata,
    files: Sequence[str],
    needs: Iterable[Finding],
    taken: Mapping[str, str],
) -> Report:
    paths = [f for f in source.files if f.endswith(".py") and not _aside(f) and (source.root / f).is_file()]
    texts = {f: (source.root / f).read_bytes() for f in paths}
    types = read_modules(source.root, files) if files else TypesFound()
    found = [
        *needs,
        *check_needs.imports(source, pack, texts),
        *check_code.scan(texts),
        *check_classes.scan(texts),
        *check_nodes.scan(types, taken, library=pack.library),
    ]
    return Report(tuple(sorted(dict.fromkeys(found), key=order)), types)


def _aside(path: str) -> bool:
    """Tests and build scripts: hosts never import them."""
    *folders, name = path.split("/")
    return bool({"tests", "test"} & set(folders)) or name in ("setup.py", "conftest.py", "noxfile.py")


def _metadata(source: Source, pack: metadata.PackMetadata) -> Iterator[Finding]:
    project = metadata.pyproject(source.root).get("project")
    if not project:
        text = f'[project]\nname = "{pack.name}"\nversion = "{pack.version}"\ndescription = ""\n'
        mend = "write one; --fix begins it"
        message = "there is no pyproject.toml with a [project] table: name and version are guessed"
        missing = not (source.root / "pyproject.toml").exists()
        edit = Edit("pyproject.toml", 0, text) if missing else None
        yield Finding("no-metadata", "warning", "pyproject.toml", 0, message, mend, edit)
        return
    for key, what in (("description", "what the pack does, in one line"), ("license", "its licence")):
        if not project.get(key):
            mend = f'add {key} = "…" to [project]'
            yield Finding("metadata", "warning", "pyproject.toml", 0, f"[project] does not say {what}", mend)
    yield from _spdx(pack, "pyproject.toml")
    if not pack.readme:
        yield Finding(
            "metadata", "note", ".", 0, "there is no README", "write README.md: a registry shows it"
        )
    for note in pack.notes:
        yield Finding("metadata", "note", "pyproject.toml", 0, note, "mend it, or leave it as it is")


def _described(pack: metadata.PackMetadata, file: str) -> Iterator[Finding]:
    """The same of a wheel's METADATA."""
    said = (("Summary", pack.summary), ("License-Expression", pack.licence or pack.licence_text))
    for field, value in said:
        if not value:
            yield Finding("metadata", "warning", file, 0, f"there is no {field}", "say it in [project]")
    yield from _spdx(pack, file)
    if not pack.readme:
        yield Finding(
            "metadata", "note", file, 0, "there is no README", 'say readme = "README.md" in [project]'
        )


def _spdx(pack: metadata.PackMetadata, file: str) -> Iterator[Finding]:
    if pack.licence is None and pack.licence_text:
        message = f"the licence {pack.licence_text[:80]!r} is no SPDX expression, which tools could compare"
        yield Finding("licence", "note", file, 0, message, 'write one such as "MIT" or "Apache-2.0"')


def fix(root: Path, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Makes the mechanical changes in the folder; gives the findings that were mended."""
    mended = tuple(finding for finding in findings if finding.edit is not None)
    by_file: dict[str, list[Edit]] = {}
    for finding in mended:
        assert finding.edit is not None
        by_file.setdefault(finding.edit.file, []).append(finding.edit)
    for name, edits in by_file.items():
        _apply(root / name, edits)
    return mended


def _apply(file: Path, edits: list[Edit]) -> None:
    """All changes of one file, from its end to its beginning so that line numbers stay right."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    for edit in sorted(set(edits), key=lambda e: e.line or 1 << 30, reverse=True):
        new = [] if edit.text is None else edit.text.splitlines()
        if edit.line == 0:
            lines += new
        else:
            end = edit.line - 1 if edit.before else edit.line
            lines[edit.line - 1 : end] = new
    file.write_text("\n".join(lines) + "\n", "utf-8")
