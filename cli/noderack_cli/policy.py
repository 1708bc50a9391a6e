"""What the user decided about versions, kept in host.toml under [policy]: pins and holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from noderack_host.folder import Host

KEY = "policy"


@dataclass(frozen=True, slots=True)
class Policy:
    """`pins` maps a pack to the version to use; packs in `holds` are not updated."""

    pins: Mapping[str, str]
    holds: frozenset[str]

    @classmethod
    def of(cls, host: Host) -> Policy:
        """The host's policy; what is not understood counts as nothing said."""
        said = host.config.other.get(KEY, {})
        said = said if isinstance(said, Mapping) else {}
        pins, holds = said.get("pins", {}), said.get("holds", [])
        return cls({str(k): str(v) for k, v in dict(pins).items()}, frozenset(map(str, holds)))

    def save(self, host: Host) -> None:
        """Write it into host.toml."""
        said = {"pins": dict(sorted(self.pins.items())), "holds": sorted(self.holds)}
        host.with_config(other={**host.config.other, KEY: said})

    def pin(self, pack: str, version: str) -> Policy:
        """The policy with `pack` pinned."""
        return replace(self, pins={**self.pins, pack: version})

    def hold(self, pack: str) -> Policy:
        """The policy with `pack` held as it is."""
        return replace(self, holds=self.holds | {pack})

    def free(self, pack: str) -> Policy:
        """The policy with nothing said about `pack`."""
        return Policy({k: v for k, v in self.pins.items() if k != pack}, self.holds - {pack})
