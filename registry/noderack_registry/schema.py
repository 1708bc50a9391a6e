"""The records that travel between registry and client, in the form they have on the wire.

Each is a frozen dataclass; `from_json` reads what the registry sends (raising Malformed with the path of what
does not fit), `to_json` gives what it sends. Times are ISO 8601 in UTC, sizes bytes, hashes lower-case hex.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from noderack_registry import wire

Origin = Literal["declared", "syntax", "verified", "catalogue", "seen"]
Status = Literal["active", "deprecated", "archived", "quarantined"]
Gate = Literal["none", "login", "accept", "early-access"]
AssetKind = Literal["icon", "banner", "screenshot", "readme", "workflow", "thumbnail"]
SourceKind = Literal["hf", "civitai", "url", "registry"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
R = TypeVar("R", bound="Record")


class Record:
    """What all records can do."""

    __slots__ = ()

    @classmethod
    def from_json(cls: type[R], data: Any) -> R:
        """The record that parsed JSON describes; raises Malformed with the path of what does not fit."""
        return wire.read(cls, data)

    def to_json(self) -> dict[str, Any]:
        """What json.dumps takes."""
        data: dict[str, Any] = wire.write(self)
        return data


@dataclass(frozen=True, slots=True)
class PackFile(Record):
    """One wheel of one version. `url` is absolute when the registry sent it."""

    filename: str
    url: str
    sha256: str
    size: int
    uploaded: str = ""
    metadata_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Source(Record):
    """Where the bytes of a model can be had. A Hugging Face `revision` should be a commit."""

    kind: SourceKind
    url: str
    repo: str | None = None
    revision: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class ModelManifest(Record):
    """One model file. Its identity is its content: two manifests of one sha256 are one model.

    `sha256` is None only for entries of an imported catalogue that never said it: `verified` is then false,
    and nothing can be checked after the download.
    """

    name: str
    folder: str
    sha256: str | None = None
    size: int | None = None
    sources: tuple[Source, ...] = ()
    licence: str | None = None
    licence_url: str | None = None
    base: str | None = None
    kind: str | None = None
    trigger_words: tuple[str, ...] = ()
    gated: Gate = "none"
    title: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    used_by: tuple[str, ...] = ()
    nsfw: bool = False
    unsafe_format: bool = False
    page: str | None = None
    verified: bool = False

    def __post_init__(self) -> None:
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"sha256 is {self.sha256[:80]!r}; expected 64 lower-case hexadecimal digits")
        if self.size is not None and self.size < 0:
            raise ValueError(f"size is {self.size}; expected the number of bytes")

    @property
    def autov2(self) -> str | None:
        """The short hash that model sites show: the first ten digits of sha256."""
        return self.sha256[:10] if self.sha256 else None


@dataclass(frozen=True, slots=True)
class PackSummary(Record):
    """One line of a list of packs. `latest` is None while nothing installable was published."""

    name: str
    title: str = ""
    description: str = ""
    latest: str | None = None
    publisher: str | None = None
    repository: str | None = None
    licence: str | None = None
    author: str | None = None
    tags: tuple[str, ...] = ()
    downloads: int = 0
    stars: int = 0
    status: Status = "active"
    status_reason: str = ""
    successor: str | None = None
    icon: str | None = None
    created: str = ""
    updated: str = ""
    library: bool = False
    origin: Origin = "declared"


@dataclass(frozen=True, slots=True)
class Pack(PackSummary):
    """A pack's page: the summary, its versions from newest to oldest, and what stands around it."""

    versions: tuple[str, ...] = ()
    yanked: tuple[str, ...] = ()
    readme_html: str = ""
    changelog: str = ""
    node_types: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    screenshots: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict)
    requires_python: str | None = None


@dataclass(frozen=True, slots=True)
class CheckFinding(Record):
    """What `nodes pack check` finds at one place: `line` counts from 1, 0 is the whole file."""

    rule: str
    level: Literal["error", "warning", "note"]
    file: str
    line: int
    message: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Asset(Record):
    """A picture or example workflow that the registry serves. `place` is where it lies in the wheel."""

    kind: AssetKind
    place: str
    url: str
    sha256: str
    size: int
    media: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Verification(Record):
    """What came of importing a version in a jail.

    `barriers` says of each wall of the jail whether it stood, and if not why; `types` were seen, `missing`
    are declared and did not appear, `failures` are the pack's own errors.
    """

    status: Literal["waiting", "running", "verified", "partial", "failed"]
    reason: str = ""
    time: str = ""
    seconds: float = 0.0
    types: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    barriers: Mapping[str, str] = field(default_factory=dict)
    python: str = ""


@dataclass(frozen=True, slots=True)
class PackVersion(Record):
    """One immutable version. `node_types` maps a type to its object_info entry, {} if not known.

    `origins` says how each type is known; `check` is what the check found by the rules `checked_by`.
    """

    pack: str
    version: str
    requires_python: str | None = None
    dependencies: tuple[str, ...] = ()
    node_types: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[PackFile, ...] = ()
    yanked: bool = False
    yanked_reason: str = ""
    status: Status = "active"
    status_reason: str = ""
    summary: str = ""
    licence: str | None = None
    uploaded: str = ""
    library: bool = False
    models: tuple[ModelManifest, ...] = ()
    capabilities: tuple[str, ...] = ()
    new_capabilities: tuple[str, ...] = ()
    declared_capabilities: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    web: str | None = None
    commit: str | None = None
    changelog: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)
    check: tuple[CheckFinding, ...] = ()
    checked_by: str = ""
    assets: tuple[Asset, ...] = ()
    verification: Verification | None = None


@dataclass(frozen=True, slots=True)
class TypeClaim(Record):
    """One pack's claim to a node type. `rank` counts from 1, the best; `reason` says why it stands there.

    `version` is the newest with the type, None when only a catalogue says so; then `repository` can be built.
    Origin "seen" is what workflows say, maybe of a pack that the registry does not have.
    """

    type: str
    pack: str
    version: str | None
    origin: Origin
    rank: int
    reason: str
    repository: str | None = None
    title: str = ""
    yanked: bool = False
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class ModelQuery(Record):
    """What a workflow says about a model: its file name, and the folder and hash where it says those."""

    name: str
    folder: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Resolution(Record):
    """The answer to a resolve: candidates for each type and model, best first; empty when unknown.

    `packs` has the version that each name leads to, without schemas; what is unknown is not there.
    """

    node_types: Mapping[str, tuple[TypeClaim, ...]] = field(default_factory=dict)
    models: Mapping[str, tuple[ModelManifest, ...]] = field(default_factory=dict)
    packs: Mapping[str, PackVersion] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchHit(Record):
    """One result of the search box; `kind` says what `name` names, `pack` where a node type comes from."""

    kind: Literal["pack", "node-type", "model"]
    name: str
    title: str = ""
    description: str = ""
    pack: str | None = None
    sha256: str | None = None
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class SearchPage(Record):
    """One page of results with the number of matches of each kind."""

    query: str
    total: int
    hits: tuple[SearchHit, ...] = ()
    facets: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change(Record):
    """One line of the changes feed. `serial` only grows; ask for what came after the last one seen."""

    serial: int
    kind: str
    name: str
    version: str | None = None
    time: str = ""


@dataclass(frozen=True, slots=True)
class Revocation(Record):
    """A killed artefact: nothing with this sha256 may be installed or started."""

    sha256: str
    name: str
    version: str | None = None
    reason: str = ""
    time: str = ""
