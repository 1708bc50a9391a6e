"""Parts of an object by dotted name: found, and replaced for a while."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def get_at(root: Any, name: str) -> Any:
    """The part of that name; raises AttributeError."""
    for step in name.split("."):
        root = getattr(root, step)
    return root


@contextmanager
def replaced(root: Any, values: Mapping[str, Any]) -> Iterator[None]:
    """Puts ``values`` in their places, and what was there back at the end."""
    undo: list[tuple[Any, str, bool, Any]] = []
    try:
        for name, value in values.items():
            path, _, leaf = name.rpartition(".")
            owner = get_at(root, path) if path else root
            own = _table(owner, leaf)
            undo.append((owner, leaf, leaf in own, own.get(leaf)))
            _put(owner, leaf, value)
        yield
    finally:
        for owner, leaf, was_own, old in reversed(undo):
            if was_own:
                _put(owner, leaf, old)
            else:
                _table(owner, leaf).pop(leaf, None)


def _table(owner: Any, leaf: str) -> dict[str, Any]:
    """The dict of ``owner`` that holds the name; modules keep their parts in dicts of their own."""
    for table in ("_modules", "_parameters", "_buffers"):
        found: dict[str, Any] = owner.__dict__.get(table) or {}
        if leaf in found:
            return found
    own: dict[str, Any] = owner.__dict__
    return own


def _put(owner: Any, leaf: str, value: Any) -> None:
    table = _table(owner, leaf)
    if table is owner.__dict__:
        object.__setattr__(owner, leaf, value)
    else:
        table[leaf] = value
