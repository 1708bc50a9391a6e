"""Checks posted prompts: in a thread, since packs' code has a say; here where that is known to be quick."""

import asyncio
import time
from typing import Any

from noderack_host.check import Checked, check_prompt
from noderack_host.replace import replaced
from noderack_host.running import Running, use
from noderack_host.server import pack_routes
from noderack_host.server.shelf import Shelf

QUICK = 0.0005  # seconds: a thread costs half of that, and everyone waits for what is done without one
KNOWN = 10_000  # sets of node types that are remembered


class Checker:
    """Knows which node types were checked quickly together, until they once were not."""

    def __init__(self, shelf: Shelf, running: Running) -> None:
        self._shelf, self._running = shelf, running
        self._quick: dict[frozenset[str], int] = {}

    async def check(self, prompt: dict[str, Any], targets: list[str] | None) -> Checked:
        """A posted prompt, its old node types replaced, with all its problems."""
        types = _types(prompt)
        if self._quick.get(types, 0) >= len(prompt):
            checked, seconds = self._timed(prompt, targets)
        else:
            checked, seconds = await asyncio.to_thread(self._timed, prompt, targets)
        if seconds > QUICK:
            self._quick.pop(types, None)
        elif len(self._quick) < KNOWN:
            self._quick[types] = max(len(prompt), self._quick.get(types, 0))
        return checked

    def _timed(self, prompt: dict[str, Any], targets: list[str] | None) -> tuple[Checked, float]:
        start, nodes = time.perf_counter(), self._shelf.packs.nodes
        with use(self._running):
            checked = check_prompt(replaced(prompt, pack_routes.replacements(), nodes), nodes, targets)
        return checked, time.perf_counter() - start


def _types(prompt: dict[str, Any]) -> frozenset[str]:
    """The node types that a prompt names, whatever else it may be."""
    named = (node.get("class_type") for node in prompt.values() if isinstance(node, dict))
    return frozenset(name for name in named if isinstance(name, str))
