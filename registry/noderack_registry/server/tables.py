"""The tables. What was published never changes; what may change about it has a column of its own.

Times are ISO 8601 text in UTC, lists and objects are JSON text: the same in SQLite and PostgreSQL, and what
the API sends anyway.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

# Rowids in SQLite grow by themselves only for INTEGER.
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


class Account(SQLModel, table=True):
    """Somebody who holds tokens."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    admin: bool = False
    created: str


class Publisher(SQLModel, table=True):
    """The name under which packs stand."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    title: str = ""
    description: str = Field(default="", sa_type=Text)
    website: str = ""
    status: str = "active"
    created: str


class Member(SQLModel, table=True):
    """An account's role at a publisher: owner (members, transfer) or maintainer (publish, yank)."""

    publisher_id: int = Field(foreign_key="publisher.id", primary_key=True)
    account_id: int = Field(foreign_key="account.id", primary_key=True)
    role: str = "maintainer"


class Token(SQLModel, table=True):
    """A token, by the public part of its text; `digest` is the sha256 of its secret part."""

    id: int | None = Field(default=None, primary_key=True)
    public: str = Field(unique=True)
    digest: str
    account_id: int = Field(foreign_key="account.id", index=True)
    label: str = ""
    scopes: str = Field(default="[]", sa_type=Text)
    created: str
    expires: str | None = None
    revoked: str | None = None
    used: str | None = None


class Pack(SQLModel, table=True):
    """A pack. `revision` grows with every change to what its pages show."""

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)
    ultra: str = Field(index=True)
    name: str
    title: str = ""
    description: str = Field(default="", sa_type=Text)
    publisher_id: int | None = Field(default=None, foreign_key="publisher.id", index=True)
    repository: str | None = None
    repository_key: str | None = Field(default=None, index=True)
    licence: str | None = None
    author: str | None = None
    tags: str = Field(default="[]", sa_type=Text)
    icon: str | None = None
    library: bool = False
    origin: str = "declared"
    status: str = "active"
    status_reason: str = ""
    successor: str | None = None
    latest: str | None = None
    downloads: int = Field(default=0, sa_type=BigInteger)
    stars: int = 0
    created: str
    updated: str
    revision: int = 1


class Version(SQLModel, table=True):
    """A published version; `facts` holds what its wheel said (see publish.py)."""

    __table_args__ = (UniqueConstraint("pack_id", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    pack_id: int = Field(foreign_key="pack.id", index=True)
    version: str
    requires_python: str | None = None
    facts: str = Field(default="{}", sa_type=Text)
    readme_html: str = Field(default="", sa_type=Text)
    uploaded: str
    uploaded_by: int | None = Field(default=None, foreign_key="account.id")
    yanked: bool = False
    yanked_reason: str = ""
    status: str = "active"
    status_reason: str = ""


class File(SQLModel, table=True):
    """A wheel. Its file name is never given to other bytes, whatever happens to its version."""

    id: int | None = Field(default=None, primary_key=True)
    version_id: int = Field(foreign_key="version.id", index=True)
    filename: str = Field(unique=True)
    sha256: str = Field(index=True)
    size: int = Field(sa_type=BigInteger)
    metadata_sha256: str
    uploaded: str


class Dependency(SQLModel, table=True):
    """A name that a pack's newest version depends on: for reverse dependencies."""

    pack_id: int = Field(foreign_key="pack.id", primary_key=True)
    target: str = Field(primary_key=True, index=True)
    requirement: str


class VersionType(SQLModel, table=True):
    """A node type of one version with its object_info entry."""

    __tablename__ = "version_type"
    version_id: int = Field(foreign_key="version.id", primary_key=True)
    type: str = Field(primary_key=True)
    entry: str = Field(default="{}", sa_type=Text)
    origin: str = "declared"


class Examination(SQLModel, table=True):
    """What the check found in a version's wheel, by which rules. Findings are a JSON list, worst first."""

    version_id: int = Field(primary_key=True, foreign_key="version.id")
    rules: str
    time: str
    errors: int = 0
    warnings: int = 0
    findings: str = Field(default="[]", sa_type=Text)


class Asset(SQLModel, table=True):
    """A picture or workflow out of a version's wheel, served by itself. `place` is its name in the wheel."""

    version_id: int = Field(primary_key=True, foreign_key="version.id")
    kind: str = Field(primary_key=True)
    place: str = Field(primary_key=True)
    position: int = 0
    sha256: str = Field(index=True)
    size: int
    media: str
    width: int | None = None
    height: int | None = None


class Verification(SQLModel, table=True):
    """What came of importing a version in a jail. `report` is JSON: barriers, failures, missing types."""

    version_id: int = Field(primary_key=True, foreign_key="version.id")
    status: str = Field(index=True)
    reason: str = Field(default="", sa_type=Text)
    time: str
    seconds: float = 0.0
    report: str = Field(default="{}", sa_type=Text)


class Claim(SQLModel, table=True):
    """A pack's claim to a node type: the newest version that has it, and since when it was claimed.

    `newcomer`: another pack held the type when this one first claimed it. `preferred`: a catalogue's editors
    chose this pack. `shared`: of 1000 types of the pack, how many others claim as well.
    """

    __table_args__ = (UniqueConstraint("type", "pack_id"),)
    id: int | None = Field(default=None, primary_key=True)
    type: str = Field(index=True)
    pack_id: int = Field(foreign_key="pack.id", index=True)
    version: str | None = None
    origin: str = "declared"
    newcomer: bool = False
    preferred: bool = False
    shared: int = 0
    since: str


class Pattern(SQLModel, table=True):
    """A regular expression for the node types of a pack whose types are not all known."""

    id: int | None = Field(default=None, primary_key=True)
    pack_id: int = Field(foreign_key="pack.id", index=True)
    pattern: str


class Sighting(SQLModel, table=True):
    """A workflow that names where one of its node types is from: evidence, not a claim of the pack's own.

    `workflow` is the digest of what it names; `pack` the id and `place` the repository that it gives, "" for
    none; `version` as it gives it.
    """

    __table_args__ = {"sqlite_with_rowid": False}
    type: str = Field(primary_key=True)
    workflow: str = Field(primary_key=True)
    pack: str = ""
    place: str = ""
    version: str = ""


class Model(SQLModel, table=True):
    """A model; `manifest` is its record as JSON. Without a sha256 it is a catalogue's word only."""

    id: int | None = Field(default=None, primary_key=True)
    sha256: str | None = Field(default=None, unique=True)
    autov2: str | None = Field(default=None, index=True)
    name: str
    folder: str
    size: int | None = Field(default=None, sa_type=BigInteger)
    manifest: str = Field(sa_type=Text)
    origin: str = "declared"
    account_id: int | None = Field(default=None, foreign_key="account.id")
    updated: str


class ModelName(SQLModel, table=True):
    """A file name by which a model is known, in lower case."""

    __tablename__ = "model_name"
    model_id: int = Field(foreign_key="model.id", primary_key=True)
    name: str = Field(primary_key=True, index=True)
    alias: bool = False


class Blob(SQLModel, table=True):
    """A model file that the registry itself keeps."""

    sha256: str = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)
    created: str
    account_id: int | None = Field(default=None, foreign_key="account.id")


class Reserved(SQLModel, table=True):
    """A name that nobody can claim without an admin."""

    key: str = Field(primary_key=True)
    reason: str = ""


class Revoked(SQLModel, table=True):
    """A killed artefact."""

    sha256: str = Field(primary_key=True)
    name: str
    version: str | None = None
    reason: str = ""
    time: str


class Event(SQLModel, table=True):
    """The changes feed and the audit log, in the order of `serial`; private rows are audit only."""

    serial: int | None = Field(default=None, sa_column=Column(_SERIAL, primary_key=True))
    kind: str = Field(index=True)
    name: str = Field(index=True)
    version: str | None = None
    time: str
    actor: str = ""
    detail: str = Field(default="", sa_type=Text)
    public: bool = True


class Download(SQLModel, table=True):
    """One download, counted once a day for each version and client."""

    __table_args__ = (Index("download_by_day", "pack_id", "day"),)
    pack_id: int = Field(foreign_key="pack.id", primary_key=True)
    version: str = Field(primary_key=True)
    day: str = Field(primary_key=True)
    client: str = Field(primary_key=True)


class SearchDoc(SQLModel, table=True):
    """One thing that can be found. Its id orders by popularity, see search.py."""

    __tablename__ = "search_doc"
    __table_args__ = (UniqueConstraint("kind", "ref"),)
    id: int = Field(sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True))
    kind: int
    ref: str
    title: str = ""
    description: str = Field(default="", sa_type=Text)
    pack: str | None = None
    names: str = Field(default="", sa_type=Text)
    texts: str = Field(default="", sa_type=Text)


class SearchGram(SQLModel, table=True):
    """Three letters of a word that names something: how misspelt words find the right ones."""

    __tablename__ = "search_gram"
    __table_args__ = {"sqlite_with_rowid": False}
    gram: str = Field(primary_key=True)
    word: str = Field(primary_key=True)


class Note(SQLModel, table=True):
    """Small facts of the registry about itself: signing key, state of imports and mirrors."""

    key: str = Field(primary_key=True)
    value: str = Field(sa_type=Text)


ALL: tuple[type[SQLModel], ...] = (
    Account,
    Publisher,
    Member,
    Token,
    Pack,
    Version,
    File,
    Dependency,
    VersionType,
    Examination,
    Asset,
    Verification,
    Claim,
    Pattern,
    Sighting,
    Model,
    ModelName,
    Blob,
    Reserved,
    Revoked,
    Event,
    Download,
    SearchDoc,
    SearchGram,
    Note,
)
