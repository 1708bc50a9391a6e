"""What a wheel holds besides its code's names: the check's findings, node types, pictures and workflows.

Everything is read from the file, nothing is run, and whatever goes wrong in reading becomes a finding: an
upload is refused by the gate alone.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from noderack_registry import schema as wire
from noderack_registry.gate import InspectedWheel
from noderack_registry.packing import showcase
from noderack_registry.packing.check import Report, check_wheel
from noderack_registry.packing.check_nodes import clashes
from noderack_registry.packing.finding import Finding, order
from noderack_registry.packing.syntax import TypesFound
from noderack_registry.server import pictures

Types = Mapping[str, Any]  # node type → object_info entry, {} if not known
MOST_FINDINGS = 1000
MOST_CODE = 8 << 20  # bytes: reading hostile code takes some seconds for each million
LARGEST = {"icon": 1 << 20, "workflow": 4 << 20}
LARGEST_PICTURE = 8 << 20
MOST_README_PICTURES = 40
INLINE_WORKFLOW = "application/json"


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture or workflow: its kind, its place in the wheel, its bytes."""

    kind: wire.AssetKind
    place: str
    data: bytes
    media: str
    width: int | None = None
    height: int | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Examined:
    """All of it. `types` are those that syntax shows; `places` where; `findings` worst first."""

    findings: tuple[Finding, ...] = ()
    types: TypesFound = field(default_factory=TypesFound)
    shown: tuple[Shown, ...] = ()
    icon: str | None = None

    def with_clashes(self, names: Sequence[str], taken: Mapping[str, str]) -> tuple[Finding, ...]:
        """The findings, and those on node types that the core or other packs have."""
        more = clashes(names, self.types.places, taken)
        every = dict.fromkeys((*self.findings, *more))
        return tuple(sorted(every, key=order))[:MOST_FINDINGS]


def rules() -> str:
    """Which rules these are: the check is a function of the bytes and of this."""
    return f"noderack {version('noderack')}"


def examine(path: Path, wheel: InspectedWheel) -> Examined:
    """Everything about a wheel that passed the gate."""
    report, broken = _checked(path, wheel)
    told = {key: wheel.facts.extra.get(key) for key in ("icon", "banner", "screenshots", "workflows")}
    with zipfile.ZipFile(path) as archive:
        album = _Album(archive, wheel)
        shown = tuple(album.all(told))
    types = report.types if report else TypesFound()
    findings = (*(report.findings if report else ()), *broken, *album.complaints)
    icon = told["icon"] if isinstance(told["icon"], str) and "://" in told["icon"] else None
    return Examined(tuple(sorted(findings, key=order)), types, shown, icon)


def known_types(wheel: InspectedWheel, examined: Examined) -> Types:
    """The wheel's node types as it declares them, schemas added; those of syntax if it declares none."""
    seen = {name: entry for name, entry in examined.types.node_types.items() if fits(name, entry)}
    declared = wheel.facts.node_types
    return {name: entry or seen.get(name, {}) for name, entry in declared.items()} if declared else seen


def fits(name: str, entry: Any) -> bool:
    try:
        json.dumps(entry, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return 0 < len(name) <= 200 and name.isprintable()


def _checked(path: Path, wheel: InspectedWheel) -> tuple[Report | None, tuple[Finding, ...]]:
    code = sum(digest.size for name, digest in wheel.files.items() if name.endswith(".py"))
    if code > MOST_CODE:
        said = f"{code} bytes of Python are more than the check reads ({MOST_CODE})"
        return None, (Finding("unreadable", "warning", ".", 0, said, "put data into data files"),)
    try:
        return check_wheel(path), ()
    except Exception as cause:  # a stranger's code is read here: whatever trips the reader is theirs to mend
        said = f"the check could not read it: {type(cause).__name__}: {str(cause)[:200]}"
        return None, (Finding("unreadable", "warning", ".", 0, said, "run `nodes pack check` on the wheel"),)


class _Album:
    """Finds pictures and workflows in a wheel; what does not fit is a complaint."""

    def __init__(self, archive: zipfile.ZipFile, wheel: InspectedWheel) -> None:
        self._archive, self._wheel = archive, wheel
        self._names = frozenset(wheel.files)
        inside = [name for name in sorted(self._names) if ".dist-info/" not in name]
        depth = 2 if inside and all(name.startswith("custom_nodes/") for name in inside) else 1
        self._prefix = "/".join(inside[0].split("/")[:depth]) if inside else ""
        self._own = [name[len(self._prefix) + 1 :] for name in inside if name.startswith(f"{self._prefix}/")]
        self.complaints: list[Finding] = []

    def all(self, told: Mapping[str, Any]) -> Iterator[Shown]:
        """Icon, banner, screenshots, workflows with their pictures, and what the README shows."""
        icon = told["icon"] or self._beside("icon") or self._beside("logo")
        yield from self._pictures("icon", [icon])
        yield from self._pictures("banner", [told["banner"]])
        shots = told["screenshots"] if isinstance(told["screenshots"], list) else []
        yield from self._pictures("screenshot", shots[: showcase.MOST_SCREENSHOTS])
        yield from self._workflows(told["workflows"] if isinstance(told["workflows"], list) else [])
        yield from self._readme()

    def _beside(self, stem: str) -> str | None:
        return next((f"{stem}{end}" for end in showcase.PICTURES if f"{stem}{end}" in self._own), None)

    def _pictures(self, kind: wire.AssetKind, places: Sequence[Any]) -> Iterator[Shown]:
        for place in dict.fromkeys(one for one in places if isinstance(one, str)):
            if "://" not in place:
                yield from self._picture(kind, place)

    def _picture(self, kind: wire.AssetKind, place: str, said: str = "") -> Iterator[Shown]:
        name = self._found(place)
        if name is None:
            self._complain(place, f"the {kind} is not in the wheel", "ship the file, or say another path")
            return
        most = LARGEST.get(kind, LARGEST_PICTURE)
        if self._wheel.files[name].size > most:
            self._complain(name, f"the {kind} is larger than {most >> 20} MiB", "make it smaller")
            return
        data = self._archive.read(name)
        seen = pictures.look(data)
        if seen is None:
            self._complain(name, f"the {kind} is no PNG, JPEG, WebP or GIF", "save it as one of these")
            return
        yield Shown(kind, name, data, seen.media, seen.width, seen.height, said)

    def _workflows(self, told: Sequence[Any]) -> Iterator[Shown]:
        places = [str(one) for one in told] or showcase.workflows(self._own)
        for place in places[: showcase.MOST_WORKFLOWS]:
            name = self._found(place)
            if name and self._wheel.files[name].size <= LARGEST["workflow"]:
                data = self._archive.read(name)
                if _is_workflow(data):
                    yield Shown("workflow", name, data, INLINE_WORKFLOW)
                    beside = showcase.picture_of(name, self._names)
                    yield from self._picture("thumbnail", beside) if beside else ()

    def _readme(self) -> Iterator[Shown]:
        text = self._wheel.metadata.description or ""
        for told in showcase.pictures_in(text, self._own)[:MOST_README_PICTURES]:
            place = showcase.local(told, self._own)
            yield from self._picture("readme", place, told) if place else ()

    def _found(self, place: str) -> str | None:
        return next((name for name in (place, f"{self._prefix}/{place}") if name in self._names), None)

    def _complain(self, place: str, message: str, mend: str) -> None:
        self.complaints.append(Finding("showcase", "note", place[:200], 0, message, mend))


def _is_workflow(data: bytes) -> bool:
    """True for a workflow in the editor's form or the API's."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    api = bool(found) and all(isinstance(one, dict) and "class_type" in one for one in found.values())
    return api or isinstance(found.get("nodes"), list)
