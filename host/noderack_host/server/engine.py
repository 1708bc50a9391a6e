"""What runs prompts: the seam between queue and clients on one side, and nodes on the other.

`Local` runs them in this process. Whatever else runs them (`noderack_host.cluster`) does what `Engine` says;
queue, history and API do not know which it is.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from noderack_host.execute import Executor, RunResult
from noderack_host.outlet import Hear, Outlet
from noderack_host.server.queue import Entry


class Engine(Protocol):
    """Runs prompts. Every method but `run` is quick; `take` may be called in any thread."""

    @property
    def places(self) -> int:
        """How many prompts may run at once, now."""

    async def start(self, changed: Callable[[], None]) -> None:
        """Begins; calls `changed` in the event loop's thread whenever `places` changes."""

    async def run(self, entry: Entry, hear: Hear) -> RunResult:
        """Runs a checked prompt; raises NodeError, PromptStopped once `hear` was told why."""

    def interrupt(self, prompt_id: str | None = None) -> bool:
        """Stops what runs, or only the prompt of that id; False if there is nothing."""

    def free(self) -> None:
        """Forgets results, instances and models."""

    def take(self, nodes: Mapping[str, Any], changed: Iterable[str] = ()) -> None:
        """These are the node types from the next prompt on; `changed` ones may be other code now."""

    def workers(self) -> list[dict[str, Any]]:
        """What works elsewhere, for people to look at; nothing for this process itself."""

    async def close(self) -> None:
        """Ends; what runs is given up."""


class Local:
    """Runs prompts in this process, one after the other."""

    places = 1

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def start(self, changed: Callable[[], None]) -> None:
        """There is nothing to begin."""

    async def run(self, entry: Entry, hear: Hear) -> RunResult:
        """Runs it in the executor's threads; cancelling the call interrupts the prompt."""
        wanted = entry.wanted or None
        return await self._executor.run(
            entry.prompt, Outlet(hear, entry.extra), entry.extra, entry.id, wanted
        )

    def interrupt(self, prompt_id: str | None = None) -> bool:
        return self._executor.interrupt(prompt_id)

    def free(self) -> None:
        self._executor.free()

    def take(self, nodes: Mapping[str, Any], changed: Iterable[str] = ()) -> None:
        self._executor.take(nodes, changed)

    def workers(self) -> list[dict[str, Any]]:
        return []

    async def close(self) -> None:
        self._executor.close()
