"""Who needs what in a generation: chains of requirements, what nobody needs any more, what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from packaging.utils import canonicalize_name

from noderack_cli.generations import Generation
from noderack_cli.installed import Installed, installed
from noderack_cli.plan import Distribution


@dataclass(frozen=True, slots=True)
class Needs:
    """Requirements between the distributions of an environment, by normalised name."""

    have: Mapping[str, Installed]
    edges: Mapping[str, Mapping[str, str]]  # who → {whom: specifier}

    @classmethod
    def of(cls, root: Path) -> Needs:
        """Read them from the virtualenv at `root`."""
        have = installed(root)
        edges: dict[str, dict[str, str]] = {
            name: {
                str(canonicalize_name(r.name)): str(r.specifier)
                for r in one.requires(["host"] if name == "noderack" else ())
                if canonicalize_name(r.name) in have
            }
            for name, one in have.items()
        }
        return cls(have, edges)

    def needed_by(self, name: str) -> list[tuple[str, str]]:
        """(who, specifier) for each distribution that requires `name`."""
        return [(who, whom[name]) for who, whom in sorted(self.edges.items()) if name in whom]

    def chains(self, name: str, tops: frozenset[str], most: int = 10) -> list[list[str]]:
        """Shortest chains from one of `tops` (packs, the host) down to `name`."""
        found: list[list[str]] = []
        queue: list[list[str]] = [[name]]
        seen = {name}
        while queue and len(found) < most:
            chain = queue.pop(0)
            if chain[0] in tops and len(chain) > 1:
                found.append(self._told(chain))
                continue
            for who, _ in self.needed_by(chain[0]):
                if who not in seen or who in tops:
                    seen.add(who)
                    queue.append([who, *chain])
        return found

    def _told(self, chain: list[str]) -> list[str]:
        first = self.have[chain[0]]
        steps = [
            f"{whom}{self.edges[who][whom]}" + f" ({self.have[whom].version} is here)"
            for who, whom in pairwise(chain)
        ]
        return [f"{first.name} {first.version}", *steps]

    def orphans_without(self, name: str, keep: frozenset[str]) -> list[str]:
        """What only `name` brought: required by nothing else that stays, and not in `keep`."""
        gone = {name}
        grew = True
        while grew:
            reach = {whom for who in gone for whom in self.edges.get(who, {})}
            new = {w for w in reach - gone - keep if all(who in gone for who, _ in self.needed_by(w))}
            grew = bool(new)
            gone |= new
        return sorted(gone - {name})


def difference(old: Generation, new: Generation) -> list[Distribution]:
    """What changed between two generations' environments."""
    before, after = versions(old), versions(new)
    names = sorted(before.keys() | after.keys())
    changes = [Distribution(name, before.get(name), after.get(name)) for name in names]
    return [change for change in changes if change.old != change.new]


def versions(generation: Generation) -> Mapping[str, str]:
    """The distributions of a generation: as they are, or as recorded where it has no files of its own."""
    if generation.held is not None:
        return generation.distributions
    return {name: one.version for name, one in installed(generation.path).items()}
