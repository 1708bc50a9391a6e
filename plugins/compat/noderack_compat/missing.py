"""Names that hosts of the field have and we lack: what happens when a pack uses one, and who did.

A name that the field's interface knows (interface.txt) but that is not provided imports as a stand-in, so
that a pack whose other nodes need nothing of it still loads. While the pack is being imported, a stand-in
can be called, looped over and decorated with, and gives further stand-ins; used by a node it raises
MissingName. A name that nobody knows raises at once, as it would on any host: packs try such imports and go
on without.
"""

from __future__ import annotations

import ast
import linecache
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
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
REPLACED = Tally()  # names that packs put their own in the place of, to no effect outside of packs
# What modules of the field import for themselves, and packs then take from there.
BORROWED = {"np": "numpy", "torch": "torch", "nn": "torch.nn", "F": "torch.nn.functional", "einops": "einops"}

# Modules of hosts do so with these of their own.
HOSTS = frozenset({"comfy", "execution", "folder_paths", "latent_preview", "node_helpers", "nodes", "server"})


# Model code: its names come and go with each version, so that no table has them all.
CHANGING = ("comfy.ldm.", "comfy.text_encoders.", "comfy_extras.")


@lru_cache(maxsize=1)
def interface() -> dict[str, frozenset[str]]:
    """The modules of the field's host interface, and the names that each has."""
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


def being_imported() -> bool:
    """Whether this happens while a module is being imported, and not while a node runs."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "exec_module" and "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def guarded() -> bool:
    """Whether the import that is under way stands in a `try`: then the pack can do without."""
    frame = sys._getframe(1)
    while frame is not None and PurePath(frame.f_code.co_filename).parent.name in ("noderack_compat", ""):
        frame = frame.f_back  # type: ignore[assignment]
    while frame is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return False
    line, text = frame.f_lineno, "".join(linecache.getlines(frame.f_code.co_filename))
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return True
    tries = (node for node in ast.walk(tree) if isinstance(node, ast.Try) and node.handlers)
    return any(node.body[0].lineno <= line <= (node.body[-1].end_lineno or line) for node in tries)


def refuse(name: str) -> NoReturn:
    """Counts the name and raises MissingName."""
    pack = calling_pack()
    TALLY.count(name, pack)
    raise MissingName(_refusal(pack, name))


def _refusal(pack: str, name: str) -> str:
    return f"{pack} uses {name}, which Noderack does not provide yet; its nodes that need it cannot run here"


class _StandIn(type):
    """The class of stand-ins: they can be imported, named in annotations and inherited from, but not used."""

    path: str

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls._told(f"{cls.path}()")

    def _told(cls, path: str) -> Any:
        """A further stand-in at import, an error after."""
        if not being_imported():
            refuse(cls.path)
        TALLY.count(cls.path, calling_pack())
        return stand_in(path)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if cls.__dict__.get("stands_in"):
            return stand_in(f"{cls.path}.{name}")
        raise MissingName(_refusal(calling_pack(), f"{cls.path}.{name}"))  # of a pack's class made from it

    def __iter__(cls) -> Iterator[Any]:
        cls._told(cls.path)
        return iter(())

    def __len__(cls) -> int:
        cls._told(cls.path)
        return 0

    def __contains__(cls, item: Any) -> bool:
        cls._told(cls.path)
        return False

    def __getitem__(cls, item: Any) -> Any:
        return cls._told(f"{cls.path}[{item!r}]")

    def __bool__(cls) -> bool:
        return True


def stand_in(path: str) -> type:
    """Something that can be imported under `path`; used by a node it raises MissingName."""
    name = path.rpartition(".")[2]
    return _StandIn(name, (), {"path": path, "stands_in": True, "__module__": path.rpartition(".")[0]})


@lru_cache(maxsize=1)
def classes() -> dict[str, str]:
    """Classes of the field's built-in nodes, and the module that each is in."""
    places = {module: names for module, names in interface().items() if module.startswith("comfy_extras.")}
    places["nodes"] = interface().get("nodes", frozenset())
    return {name: module for module, names in places.items() for name in names if name[0].isupper()}


class BuiltIn(dict[str, Any]):
    """Node types to classes. Packs make nodes of their own from built-in ones: asked for by `[]`, one that we
    lack is a stand-in, so that a pack's other nodes load; it is not in the table otherwise."""

    def __missing__(self, node_type: str) -> Any:
        module = classes().get(node_type)
        if module is None or guarded():
            raise KeyError(node_type)
        TALLY.count(f"{module}.{node_type}", calling_pack())
        return stand_in(f"{module}.{node_type}")


def gap(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module that provides some of the names that it has in the field."""

    from noderack_compat.replaced import watch

    watch(module)

    def missing(name: str) -> Any:
        if name in HOSTS or name in sys.stdlib_module_names:
            return import_module(name)
        if name in BORROWED and find_spec(BORROWED[name].partition(".")[0]):
            return import_module(BORROWED[name])
        if module.startswith("comfy_extras.") and (extra := _extra(module, name)) is not None:
            return extra
        if name in interface().get(module, frozenset()):
            return stand_in(f"{module}.{name}")
        if name.startswith("__"):
            raise AttributeError(name)
        if module.startswith(CHANGING) and being_imported() and not guarded():
            return stand_in(f"{module}.{name}")
        raise AttributeError(f"module {module!r} has no {name!r} here, nor on any host that is known")

    return missing


def _extra(module: str, name: str) -> type | None:
    """A class of the field's further nodes, where that node is here."""
    from noderack_compat.extras import node_class

    return node_class(module, name)
