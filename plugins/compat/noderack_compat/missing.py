"""Names that hosts of the field have and we lack: what happens when a pack uses one, and who did.

A name that the field's interface knows (interface.txt) but that is not provided imports as a stand-in, so
that a pack whose other nodes need nothing of it still loads; using the stand-in raises MissingName. A name
that nobody knows raises at once, as it would on any host: packs try such imports and go on without.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import PurePath
from typing import Any, NoReturn


class MissingName(AttributeError, NotImplementedError):
    """A pack used a name of the host interface that Noderack does not provide."""


class Tally:
    """Which missing names were asked for, by which pack, how often."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()

    def count(self, name: str, pack: str) -> None:
        self.asked[name, pack] += 1


TALLY = Tally()


def interface() -> dict[str, frozenset[str]]:
    """The modules of the field's host interface that packs use, and the names that they use of each."""
    text = (files("noderack_compat") / "interface.txt").read_text("utf-8")
    rows = (line.split(":", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {module: frozenset(names.split()) for module, names in rows}


def calling_pack() -> str:
    """The pack whose code is running: the first file on the stack that is neither ours nor Python's own."""
    frame = sys._getframe(1)
    while frame is not None:
        parts = PurePath(frame.f_code.co_filename).parts
        for root in ("custom_nodes", "site-packages"):
            if root in parts[:-1]:
                name = parts[parts.index(root) + 1]
                if (
                    not name.startswith(("noderack_", "comfy", "torch", "_pytest", "importlib"))
                    or root == "custom_nodes"
                ):
                    return name.removesuffix(".py")
        frame = frame.f_back  # type: ignore[assignment]
    return "a pack"


def refuse(name: str) -> NoReturn:
    """Counts the name and raises MissingName."""
    pack = calling_pack()
    TALLY.count(name, pack)
    raise MissingName(
        f"{pack} uses {name}, which Noderack does not provide yet; its nodes that need it cannot run here"
    )


class _StandIn(type):
    """The class of stand-ins: they can be imported, named in annotations and inherited from, but not used."""

    path: str

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        refuse(cls.path)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if cls.__dict__.get("stands_in"):
            return stand_in(f"{cls.path}.{name}")
        raise AttributeError(f"{cls.__name__} has no {name}")

    def __iter__(cls) -> Any:
        refuse(cls.path)


def stand_in(path: str) -> type:
    """Something that can be imported under `path`; calling it raises MissingName."""
    name = path.rpartition(".")[2]
    return _StandIn(name, (), {"path": path, "stands_in": True, "__module__": path.rpartition(".")[0]})


def gap(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module that provides some of the names that it has in the field."""
    known = interface().get(module, frozenset())

    def missing(name: str) -> Any:
        if name in known:
            return stand_in(f"{module}.{name}")
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"module {module!r} has no {name!r} here, nor on any host that is known")

    return missing
