"""What the reader of syntax computes with: ordinary values where it knows them, else stand-ins.

Numbers, strings, lists, tuples, sets and paths stand for themselves. A dict is a Table, because a mapping of
nodes may be known in part. What only running could tell is Foreign.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(eq=False, slots=True)
class Foreign:
    """Something from outside the pack, or not computable: its dotted origin, and the call that gave it."""

    path: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{self.path}>"


UNKNOWN = Foreign("unknown")
FIELDS = "#fields"  # in a class's names: those that its body annotates, in order


class Table(dict[Any, Any]):
    """A dict; `missing` says what was put into it that could not be read."""

    __slots__ = ("missing",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        first = args[0] if args else None
        self.missing: list[str] = list(first.missing) if isinstance(first, Table) else []

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


@dataclass(eq=False, slots=True)
class Module:
    """A module of the pack. `package` is what its relative imports start from."""

    name: str
    file: Path
    package: str
    names: dict[str, Any] = field(default_factory=dict)
    loaded: bool = False

    @property
    def is_package(self) -> bool:
        return self.file.name == "__init__.py"


@dataclass(eq=False, slots=True)
class Scope:
    """The names of a function, class body or comprehension; a module's scope shares the module's names."""

    names: dict[str, Any]
    module: Module
    parent: Scope | None = None
    is_class: bool = False
    outer: set[str] = field(default_factory=set)  # names declared global
    aliases: dict[str, Scope] = field(default_factory=dict)  # names declared nonlocal, and where they live
    yields: list[Any] | None = None
    maybe: list[Any] = field(default_factory=list)  # values returned where it is not sure that they are
    function: Function | None = None

    def chain(self) -> Iterator[Scope]:
        """This scope and those around it, innermost first; class bodies are not seen from within."""
        scope: Scope | None = self
        while scope is not None:
            if scope is self or not scope.is_class:
                yield scope
            scope = scope.parent


@dataclass(eq=False, slots=True)
class Function:
    """A function or lambda of the pack; `kind` is static, class, property or empty."""

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    defaults: tuple[Any, ...] = ()
    keyword_defaults: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    owner: Class | None = None
    names: dict[str, Any] = field(default_factory=dict)
    generator: bool = False
    marks: list[Foreign] = field(default_factory=list)  # decorators from outside the pack


@dataclass(eq=False, slots=True)
class Class:
    """A class of the pack (or made by a call of type)."""

    name: str
    module: Module
    bases: tuple[Any, ...] = ()
    names: dict[str, Any] = field(default_factory=dict)
    doc: str = ""
    line: int = 0
    members: dict[str, Instance] = field(default_factory=dict)  # of an enumeration

    def mro(self) -> Iterator[Class]:
        """This class and the pack's classes that it inherits from, nearest first."""
        seen: set[int] = set()
        waiting: list[Any] = [self]
        while waiting:
            cls = waiting.pop(0)
            if isinstance(cls, Class) and id(cls) not in seen:
                seen.add(id(cls))
                yield cls
                waiting[:0] = cls.bases

    def find(self, name: str) -> tuple[Any, bool]:
        """An attribute, and whether it was found."""
        for cls in self.mro():
            if name in cls.names:
                return cls.names[name], True
        return None, False

    def foreign_bases(self) -> tuple[str, ...]:
        """The dotted names of its bases from outside the pack, those of its bases included."""
        bases = (base for cls in self.mro() for base in cls.bases)
        return tuple(base.path for base in bases if isinstance(base, Foreign))


@dataclass(eq=False, slots=True)
class Instance:
    """An object of a class of the pack."""

    cls: Class
    names: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Bound:
    """A method with its first argument; for a plain value, `function` is the method's name."""

    first: Any
    function: Function | str


@dataclass(eq=False, slots=True)
class Parent:
    """What `super()` gives: attributes of the classes after `cls`."""

    cls: Class
    first: Any


@dataclass(frozen=True, slots=True)
class Builtin:
    """A name that Python has by itself."""

    name: str


Plain = (str, int, float, bool, complex, bytes, type(None), list, tuple, set, frozenset, dict, range, Path)


def known(value: Any) -> bool:
    """Whether a value is wholly known, down to its elements."""
    if isinstance(value, Table) and value.missing:
        return False
    if isinstance(value, dict):
        return all(known(k) and known(v) for k, v in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(known, value))
    return isinstance(value, Plain)


def truth(value: Any) -> bool | None:
    """True, False, or None where only running could tell."""
    if isinstance(value, Foreign):
        return None
    if isinstance(value, Table) and value.missing and not value:
        return None
    if isinstance(value, Plain):
        return bool(value)
    return True
