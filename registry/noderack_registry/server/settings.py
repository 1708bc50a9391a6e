"""Everything that decides how a registry runs, in one value. Nothing here reads the environment or a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from noderack_registry import jail
from noderack_registry.gate import Limits


def utc_now() -> datetime:
    """The clock that a registry uses unless a test passes another."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests a minute for one address: reads, and writes. 0 is no limit."""

    reads: int = 0
    writes: int = 0


@dataclass(frozen=True, slots=True)
class Verifying:
    """How versions are verified by importing them in a jail.

    `on`: each new version, while the service runs. `python` has `noderack[host]` (this one if None); `index`
    is where third-party requirements come from: "default", "none", or an address. `weak` goes on when a wall
    of the jail does not stand.
    """

    on: bool = False
    python: Path | None = None
    index: str = "default"
    weak: bool = False
    limits: jail.Limits = field(default_factory=jail.Limits)


@dataclass(frozen=True, slots=True)
class Settings:
    """How one registry runs. `data` is its folder, where database and blobs live unless their URLs differ.

    `public_url` is the address that clients use when it differs from the one asked (behind a proxy); `hosts`
    are the names that a Host header may give, any if empty; `largest_blob` bounds model uploads,
    `largest_body` JSON bodies, both in bytes; `silence` is how many seconds a client may
    pause, see patience.py.
    """

    data: Path
    database: str | None = None
    blobs: str | None = None
    public_url: str | None = None
    wheel: Limits = field(default_factory=Limits)
    largest_blob: int = 2 << 30
    largest_body: int = 8 << 20
    silence: float = 30.0
    rates: RateLimits = field(default_factory=RateLimits)
    hosts: tuple[str, ...] = ()
    read_only: bool = False
    upstream: str | None = None
    verifying: Verifying = field(default_factory=Verifying)
    now: Callable[[], datetime] = utc_now

    @property
    def database_url(self) -> str:
        """SQLAlchemy's form; an SQLite file in `data` by default."""
        url = self.database or f"sqlite:///{self.data / 'registry.db'}"
        return url.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def blobs_url(self) -> str:
        """A folder in `data` by default, or s3://bucket/prefix."""
        return self.blobs or str(self.data / "blobs")
