"""What a pack's entry point gives: the list of its nodes."""

from abc import ABC, abstractmethod
from typing import Any


class ComfyExtension(ABC):
    """A pack. The host awaits `on_load` first, then `get_node_list`."""

    async def on_load(self) -> None:  # noqa: B027
        """Called once before the nodes are asked for."""

    @abstractmethod
    async def get_node_list(self) -> list[type[Any]]:
        """The pack's node classes."""
