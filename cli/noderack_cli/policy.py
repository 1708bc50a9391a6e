"""What the user decided, kept in host.toml under [policy]: pins, holds, how many generations to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from noderack_host.folder import Host

from noderack_cli import generations
from noderack_cli.serving import generations_served

KEY = "policy"
KEEP = 20


@dataclass(frozen=True, slots=True)
class Policy:
    """`pins` maps a pack to the version to use; packs in `holds` are not updated.

    `keep` generations stay beside the one in use when packs are installed.
    """

    pins: Mapping[str, str]
    holds: frozenset[str]
    keep: int = KEEP

    @classmethod
    def of(cls, host: Host) -> Policy:
        """The host's policy; what is not understood counts as nothing said."""
        said = host.config.other.get(KEY, {})
        said = said if isinstance(said, Mapping) else {}
        pins, holds, keep = said.get("pins", {}), said.get("holds", []), said.get("keep")
        keep = keep if isinstance(keep, int) and keep >= 1 else KEEP
        return cls({str(k): str(v) for k, v in dict(pins).items()}, frozenset(map(str, holds)), keep)

    def save(self, host: Host) -> None:
        """Write it into host.toml."""
        said: dict[str, object] = {"pins": dict(sorted(self.pins.items())), "holds": sorted(self.holds)}
        said |= {"keep": self.keep} if self.keep != KEEP else {}
        host.with_config(other={**host.config.other, KEY: said})

    def pin(self, pack: str, version: str) -> Policy:
        """The policy with `pack` pinned."""
        return replace(self, pins={**self.pins, pack: version})

    def hold(self, pack: str) -> Policy:
        """The policy with `pack` held as it is."""
        return replace(self, holds=self.holds | {pack})

    def free(self, pack: str) -> Policy:
        """The policy with nothing said about `pack`."""
        kept = {name: version for name, version in self.pins.items() if name != pack}
        return replace(self, pins=kept, holds=self.holds - {pack})


def keep_few(host: Host) -> list[int]:
    """Remove what is older than the policy keeps and no running server uses. The caller holds the host.

    The first generation stays: it says what came with the environment and not with a pack. So does the one
    before that in use, to which `nodes rollback` goes.
    """
    first = [generation.number for generation in generations.every(host)[:1]]
    before = generations.current(host).parent
    spare = {*first, *generations_served(host), *([before] if before is not None else [])}
    return generations.prune(host, Policy.of(host).keep, spare=spare)
