"""The packs of a running server: new ones are taken in, one under development is loaded again, live.

A new generation is taken in live when nothing that this process has loaded is other in it; else the server
has to be started again. Prompts that run meanwhile keep the classes that they began with.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from noderack_host.folder import Host
from noderack_host.packs import Contents, PackFailure, Packs, found_packs, key_of
from noderack_host.reload import Reloaded, reload_packs
from noderack_host.renewal import in_use, move, obstacles, reason
from noderack_host.server.engine import Engine

LIVE, RESTART = "live", "restart"


class NoGeneration(Exception):
    """There is no generation of that number."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How a change was taken: live or by a restart, which packs are new, and why."""

    taken: str
    packs: tuple[str, ...] = ()
    reason: str = ""
    failures: tuple[PackFailure, ...] = ()
    node_types: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The answer of the route."""
        return {
            "taken": self.taken,
            "packs": list(self.packs),
            "reason": self.reason,
            "node_types": list(self.node_types),
            "failures": [{"pack": one.pack, "cause": one.cause} for one in self.failures],
        }


class Shelf:
    """The packs in use. One change at a time; imports happen in a thread, so that clients are answered."""

    def __init__(
        self, host: Host, packs: Packs, engine: Engine, load: Callable[[EntryPoint], Contents]
    ) -> None:
        self.packs = packs
        self.generation, self._root = in_use(host)
        self.generations = [] if self.generation is None else [self.generation]
        self._host, self._engine, self._load = host, engine, load
        self._changing = asyncio.Lock()

    async def take(self, number: int) -> Taken:
        """Takes in generation `number`; raises NoGeneration."""
        root = self._host.generations / str(number)
        if not root.is_dir():
            raise NoGeneration(f"there is no generation {number} in {self._host.generations}")
        async with self._changing:
            if number == self.generation:
                return Taken(LIVE, reason="this generation is in use already")
            return await asyncio.to_thread(self._take, number, root)

    async def reload(self, names: Iterable[str]) -> Reloaded:
        """Loads these packs again; one that fails stays as it was."""
        async with self._changing:
            return await asyncio.to_thread(self._reload, tuple(names))

    def _take(self, number: int, root: Path) -> Taken:
        differing = obstacles(self._root, root)
        if differing:
            return Taken(RESTART, reason=reason(differing))
        move(self._root, root)
        self._root, self.generation = root, number
        self.generations.append(number)
        known = {(pack.distribution, pack.name) for pack in self.packs.packs}
        new = [point.name for point in found_packs() if key_of(point) not in known]
        if not new:
            return Taken(LIVE, reason="no pack is new")
        done = self._reload(tuple(new))
        types = tuple(sorted(done.node_types))
        return Taken(LIVE, done.reloaded, "nothing that was loaded has changed", done.failures, types)

    def _reload(self, names: tuple[str, ...]) -> Reloaded:
        done = reload_packs(self.packs, names, load=self._load)
        self.packs = done.packs
        self._engine.take(done.packs.nodes, done.node_types)
        return done
