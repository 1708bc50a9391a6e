"""Results from elsewhere: packs may register providers that are asked where the cache has nothing.

A provider is of the field's form (host contract §1.7, `caching`): `on_lookup` and `on_store` are coroutines,
named by a hash of the node's content signature, so that several hosts can share what they made. Nodes whose
inputs or fingerprints are equal to nothing are neither looked up nor offered, nor is what an expansion gave.
Whatever a provider raises is logged, and the node runs as if there were none.
"""

import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from noderack_host.cache import Entry
from noderack_host.lane import Lane, finish
from noderack_host.work import Work

log = logging.getLogger(__name__)


@dataclass
class CacheContext:
    """Which result: of what node, and the hash that names it in every host (64 hexadecimal digits)."""

    node_id: str
    class_type: str
    cache_key_hash: str


@dataclass
class CacheValue:
    """A result: for each output a list of values, and what the node showed."""

    outputs: list[Any]
    ui: Any = None


class CacheProvider(ABC):
    """What packs derive theirs from."""

    @abstractmethod
    async def on_lookup(self, context: CacheContext) -> CacheValue | None:
        """The result, if it is there."""

    @abstractmethod
    async def on_store(self, context: CacheContext, value: CacheValue) -> None:
        """A result was made here; called beside the run."""

    def should_cache(self, context: CacheContext, value: CacheValue | None = None) -> bool:
        """Whether this provider is to be asked about, or given, that result."""
        return True

    def on_prompt_start(self, prompt_id: str) -> None:  # noqa: B027 (may be left out)
        """A prompt begins."""

    def on_prompt_end(self, prompt_id: str) -> None:  # noqa: B027
        """A prompt is over, whichever way."""


def registered() -> Sequence[CacheProvider]:
    """The providers that packs have registered; the pack that has the field's interface lists them."""
    return tuple(getattr(sys.modules.get("noderack_compat.providers"), "PROVIDERS", ()))


class Elsewhere:
    """The providers, for one run."""

    def __init__(self, providers: Sequence[CacheProvider], prompt_id: str, lane: Lane) -> None:
        self._providers = providers
        self._prompt_id = prompt_id
        self._lane = lane

    def __bool__(self) -> bool:
        return bool(self._providers)

    def began(self) -> None:
        for provider in self._providers:
            _guarded(provider, provider.on_prompt_start, self._prompt_id)

    def ended(self) -> None:
        for provider in self._providers:
            _guarded(provider, provider.on_prompt_end, self._prompt_id)

    def look(self, work: Work) -> Entry | None:
        """What the first provider that has this result gives."""
        if work.unequal:
            return None
        context = _context(work)
        for provider in self._providers:
            found = _guarded(provider, self._asked, provider, context)
            if isinstance(found, CacheValue) and isinstance(found.outputs, (list, tuple)):
                return Entry(tuple(found.outputs), found.ui)
            if found is not None:
                log.warning("the cache provider %s gave no CacheValue", type(provider).__name__)
        return None

    def offer(self, work: Work, entry: Entry) -> None:
        """Gives a result that was made here to every provider that wants it."""
        if work.unequal or entry.inner or entry.keys:
            return
        context, value = _context(work), CacheValue(list(entry.outputs), entry.ui)
        for provider in self._providers:
            if _guarded(provider, provider.should_cache, context, value):
                self._lane.submit(provider.on_store(context, value), _told(provider))

    @staticmethod
    def _asked(provider: CacheProvider, context: CacheContext) -> Any:
        return finish(provider.on_lookup(context)) if provider.should_cache(context) else None


def _context(work: Work) -> CacheContext:
    return CacheContext(work.id, work.node_type, sha256(work.key).hexdigest())


def _guarded(provider: CacheProvider, method: Callable[..., Any], *words: Any) -> Any:
    try:
        return method(*words)
    except Exception as cause:  # pack code
        log.warning("the cache provider %s failed: %s", type(provider).__name__, cause)
        return None


def _told(provider: CacheProvider) -> Callable[[Any, BaseException | None], None]:
    def done(_: Any, error: BaseException | None) -> None:
        if error is not None:
            log.warning("the cache provider %s did not store: %s", type(provider).__name__, error)

    return done
