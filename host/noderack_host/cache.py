"""Results that are kept, by content signature, and the policies that say which ones.

Classic   what the last prompt used
LRU       at most N results, the longest unused go first
NoCache   nothing
ByBytes   at most so many bytes of tensors, arrays and text; shared storage counts once
"""

from collections import OrderedDict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Protocol

from noderack_host.sizes import storages


@dataclass(frozen=True, slots=True)
class Shown:
    """What a node showed: its ui payload and the ids that it belongs to."""

    node_id: str
    display_node: str
    ui: Mapping[str, Any]


Inside = tuple[Any, ...]
"""What an expansion showed: Shown values, and for each expansion inside it another such tuple."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A node's result: a list of values for each output, what it showed, and what it expanded to showed.

    `keys` are the signatures of the nodes that it expanded to: they are kept as long as this is.
    """

    outputs: tuple[list[Any], ...]
    ui: Mapping[str, Any] | None = None
    inner: Inside = ()
    keys: tuple[bytes, ...] = ()


class Cache(Protocol):
    """Where results are kept. One prompt at a time: `begin`, then `get` and `put`, then `end`."""

    def begin(self, keys: AbstractSet[bytes]) -> None:
        """A prompt begins whose nodes have these signatures."""

    def get(self, key: bytes) -> Entry | None: ...

    def peek(self, key: bytes) -> Entry | None:
        """What is in memory, without reading a disk for it."""

    def put(self, key: bytes, entry: Entry) -> None: ...

    def __contains__(self, key: bytes) -> bool: ...

    def end(self) -> None:
        """The prompt is over, whichever way."""

    def clear(self) -> None: ...


class NoCache:
    """Keeps nothing: a result lives while the running prompt needs it."""

    def begin(self, keys: AbstractSet[bytes]) -> None:
        pass

    def get(self, key: bytes) -> Entry | None:
        return None

    def peek(self, key: bytes) -> Entry | None:
        return None

    def put(self, key: bytes, entry: Entry) -> None:
        pass

    def __contains__(self, key: bytes) -> bool:
        return False

    def end(self) -> None:
        pass

    def clear(self) -> None:
        pass


class Classic:
    """Keeps exactly what the last prompt's signatures name, and what those results expanded to."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry] = {}

    def begin(self, keys: AbstractSet[bytes]) -> None:
        kept: dict[bytes, Entry] = {}
        wanted = [key for key in keys if key in self._entries]
        while wanted:
            key = wanted.pop()
            if key not in kept and key in self._entries:
                kept[key] = self._entries[key]
                wanted.extend(kept[key].keys)
        self._entries = kept

    def get(self, key: bytes) -> Entry | None:
        return self._entries.get(key)

    def peek(self, key: bytes) -> Entry | None:
        return self._entries.get(key)

    def put(self, key: bytes, entry: Entry) -> None:
        self._entries[key] = entry

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def end(self) -> None:
        pass

    def clear(self) -> None:
        self._entries = {}


class LRU:
    """Keeps the `limit` results used last; those of the running prompt are never dropped for each other."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def begin(self, keys: AbstractSet[bytes]) -> None:
        for key in keys & self._entries.keys():
            self._entries.move_to_end(key)

    def get(self, key: bytes) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def peek(self, key: bytes) -> Entry | None:
        return self._entries.get(key)

    def put(self, key: bytes, entry: Entry) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def end(self) -> None:
        while len(self._entries) > self.limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        self._entries.clear()


class ByBytes:
    """Keeps the results used last that fit into `limit` bytes; `bytes` is what they hold now.

    A storage that several results share (views of one tensor) counts once, and is only free when the last
    of them goes. A result that alone is larger than the limit is not kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._entries: OrderedDict[bytes, tuple[Entry, dict[Any, int]]] = OrderedDict()
        self._holders: dict[Any, int] = {}

    def begin(self, keys: AbstractSet[bytes]) -> None:
        for key in keys & self._entries.keys():
            self._entries.move_to_end(key)

    def get(self, key: bytes) -> Entry | None:
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def peek(self, key: bytes) -> Entry | None:
        found = self._entries.get(key)
        return found[0] if found else None

    def put(self, key: bytes, entry: Entry) -> None:
        self._drop(key)
        held = storages((entry.outputs, entry.ui))
        for storage, size in held.items():
            if storage not in self._holders:
                self.bytes += size
            self._holders[storage] = self._holders.get(storage, 0) + 1
        self._entries[key] = (entry, held)
        while self.bytes > self.limit and self._entries:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        found = self._entries.pop(key, None)
        for storage, size in found[1].items() if found else ():
            self._holders[storage] -= 1
            if not self._holders[storage]:
                del self._holders[storage]
                self.bytes -= size

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def end(self) -> None:
        pass

    def clear(self) -> None:
        self._entries.clear()
        self._holders.clear()
        self.bytes = 0


def cache_named(policy: str) -> Cache:
    """The cache that a text asks for: "classic", "none", "lru:100", "bytes:2G"; raises ValueError."""
    name, _, amount = policy.partition(":")
    if name == "classic" and not amount:
        return Classic()
    if name == "none" and not amount:
        return NoCache()
    try:
        if name == "lru":
            return LRU(int(amount))
        if name == "bytes":
            return ByBytes(byte_count(amount))
    except ValueError as cause:
        raise ValueError(f"{policy!r} has no number: write lru:100 or bytes:2G") from cause
    raise ValueError(f"{policy!r} is no cache policy: use classic, none, lru:100 or bytes:2G")


def byte_count(text: str) -> int:
    """A number of bytes from "1000", "500M", "2G"; raises ValueError."""
    units = {"k": 2**10, "m": 2**20, "g": 2**30}
    unit = units.get(text[-1:].lower())
    return int(float(text[:-1]) * unit) if unit else int(text)
