"""`comfy_api.latest`: `io`, `ui`, the extension class, calls to the host; all of them the runtime's own."""

from __future__ import annotations

from typing import Any

from noderack_compat.missing import gap
from noderack_compat.providers import register, unregister
from noderack_host.providers import CacheContext, CacheProvider, CacheValue
from noderack_host.running import current_or_none
from noderack_host.v3 import ComfyExtension, io, ui

__getattr__ = gap(__name__)
__all__ = ["IO", "UI", "Caching", "ComfyAPI", "ComfyAPISync", "ComfyExtension", "io", "ui"]
IO, UI = io, ui


def _report(value: float, max_value: float, preview_image: Any) -> None:
    running = current_or_none()
    if running is not None:
        running.progress(value, max_value, preview_image)


class _Execution:
    async def set_progress(
        self, value: float, max_value: float, node_id: Any = None, preview_image: Any = None, **_: Any
    ) -> None:
        _report(value, max_value, preview_image)


class _ExecutionSync:
    def set_progress(
        self, value: float, max_value: float, node_id: Any = None, preview_image: Any = None, **_: Any
    ) -> None:
        _report(value, max_value, preview_image)


def _replace(replacement: io.NodeReplace) -> None:
    from server import PromptServer

    PromptServer.instance.node_replacements.append(replacement.as_dict())


class _Replacement:
    async def register(self, node_replace: io.NodeReplace) -> None:
        _replace(node_replace)


class _ReplacementSync:
    def register(self, node_replace: io.NodeReplace) -> None:
        _replace(node_replace)


class Caching:
    """Results from elsewhere: `register_provider` may be awaited, and need not be."""

    CacheContext = CacheContext
    CacheProvider = CacheProvider
    CacheValue = CacheValue
    register_provider = staticmethod(register)
    unregister_provider = staticmethod(unregister)


class _CachingLater:
    async def register_provider(self, provider: CacheProvider) -> None:
        register(provider)

    async def unregister_provider(self, provider: CacheProvider) -> None:
        unregister(provider)


class ComfyAPI:
    """Calls from a node to its host."""

    def __init__(self) -> None:
        self.execution = _Execution()
        self.node_replacement = _Replacement()
        self.caching = _CachingLater()


class ComfyAPISync:
    """The same, for code that does not wait."""

    def __init__(self) -> None:
        self.execution = _ExecutionSync()
        self.node_replacement = _ReplacementSync()
        self.caching = Caching()
