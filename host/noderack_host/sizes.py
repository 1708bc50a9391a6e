"""How many bytes values hold, told by their shape alone: no torch and no numpy is imported for it."""

from collections.abc import Iterator, Mapping
from typing import Any

_SMALL = (int, float, bool, complex, type(None))


def storages(value: Any) -> dict[Any, int]:
    """{storage: bytes} of all tensors, arrays, texts and bytes in nested containers.

    Shared storage comes once. Objects that are none of these, such as models, are their owner's to count.
    """
    found: dict[Any, int] = {}
    seen: set[int] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, _SMALL) or id(item) in seen:
            continue
        seen.add(id(item))
        storage = _storage(item)
        if storage is not None:
            found[storage[0]] = storage[1]
        else:
            stack.extend(_parts(item))
    return found


def size_of(value: Any) -> int:
    """The bytes that a value holds."""
    return sum(storages(value).values())


def _storage(item: Any) -> tuple[Any, int] | None:
    """(identity, bytes) of one thing that holds memory, or None for a container or an unknown object."""
    if isinstance(item, (str, bytes, bytearray)):
        return id(item), len(item)
    if hasattr(item, "untyped_storage") and str(getattr(item, "layout", "")) == "torch.strided":
        storage = item.untyped_storage()
        return (str(item.device), storage.data_ptr()), storage.nbytes()
    if hasattr(item, "__array_interface__"):
        owner = item
        while getattr(owner, "base", None) is not None and hasattr(owner.base, "nbytes"):
            owner = owner.base
        return id(owner), int(owner.nbytes)
    return None


def _parts(item: Any) -> Iterator[Any]:
    if isinstance(item, Mapping):
        yield from item.values()
    elif isinstance(item, (list, tuple, set, frozenset)):
        yield from item
