"""Calls, in the reader's way: the pack's functions are followed, some of Python's known, the rest Foreign."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noderack_registry.packing.syntax import known_calls
from noderack_registry.packing.syntax.call import Call
from noderack_registry.packing.syntax.known_files import path_method
from noderack_registry.packing.syntax.program import DEPTH, OutOfBudget, Program
from noderack_registry.packing.syntax.values import (
    FIELDS,
    UNKNOWN,
    Bound,
    Builtin,
    Class,
    Foreign,
    Function,
    Instance,
    Module,
    Parent,
    Scope,
    Table,
    known,
)

if TYPE_CHECKING:
    from noderack_registry.packing.syntax.expressions import Expressions

# Methods of plain values that change nothing outside of their value, and need no Foreign to be kept out.
CONTAINER: dict[type, list[str]] = {
    list: ["append", "extend", "insert", "remove", "pop", "index", "count", "reverse", "copy", "clear"],
    Table: ["get", "keys", "values", "items", "pop", "setdefault", "copy", "clear", "popitem"],
    dict: ["get", "keys", "values", "items", "pop", "setdefault", "copy", "clear", "popitem"],
    set: ["add", "union", "update", "discard", "remove", "difference", "intersection", "copy"],
    tuple: ["index", "count"],
}
PURE = (str, bytes, int, float, frozenset, bool)
LOOKS = "exists is_file is_dir iterdir glob rglob read_text"
BENDS = (
    "joinpath with_suffix with_name relative_to as_posix resolve absolute is_absolute match is_relative_to"
)
PATHS = frozenset(f"{LOOKS} {BENDS}".split())


class Calls:
    """Carries out calls."""

    def __init__(self, program: Program, expressions: Expressions) -> None:
        self.program = program
        self.expressions = expressions

    def on_call(self, node: ast.Call, scope: Scope) -> Any:
        function = self.expressions.evaluate(node.func, scope)
        args: list[Any] = []
        for argument in node.args:
            value = self.expressions.evaluate(argument, scope)
            if isinstance(argument, ast.Starred):
                items = self.expressions.items(value)
                args.extend(items if items is not None else [UNKNOWN])
            else:
                args.append(value)
        kwargs: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self.expressions.evaluate(keyword.value, scope)
            if keyword.arg:
                kwargs[keyword.arg] = value
            elif isinstance(value, dict):
                kwargs.update({k: v for k, v in value.items() if isinstance(k, str)})
        return self.call(function, args, kwargs, node, scope)

    def call(
        self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], node: ast.AST, scope: Scope
    ) -> Any:
        """`function(*args, **kwargs)`."""
        if isinstance(function, Function):
            return self.invoke(function, args, kwargs)
        if isinstance(function, Bound):
            return self._bound(function, args, kwargs, node, scope)
        if isinstance(function, Class):
            return self._instance(function, args, kwargs)
        if isinstance(function, Instance):
            return self.method(function, "__call__", args, kwargs)
        if isinstance(function, Builtin):
            if function.name == "super":
                return self._super(args, scope)
            return known_calls.builtin(function.name, Call(self, list(args), dict(kwargs), scope, node))
        if isinstance(function, Foreign):
            return known_calls.foreign(function.path, Call(self, list(args), dict(kwargs), scope, node))
        return UNKNOWN

    def _bound(
        self, bound: Bound, args: Sequence[Any], kwargs: Mapping[str, Any], node: ast.AST, scope: Scope
    ) -> Any:
        if isinstance(bound.function, Function):
            return self.invoke(bound.function, [bound.first, *args], kwargs)
        first, name = bound.first, bound.function
        if isinstance(first, dict) and name == "update":
            return self.update(first, args, kwargs, node, scope)
        return self._plain_method(first, name, list(args), dict(kwargs))

    def update(
        self,
        table: dict[Any, Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        node: ast.AST,
        scope: Scope,
    ) -> None:
        """`table.update(*args, **kwargs)`; what cannot be read is written down in the table."""
        for other in args:
            items = self.expressions.items(other) if not isinstance(other, dict) else None
            if isinstance(other, dict):
                table.update(other)
                if isinstance(other, Table) and isinstance(table, Table):
                    table.missing += other.missing
            elif items is not None and all(isinstance(x, tuple) and len(x) == 2 for x in items):
                for key, value in items:
                    self.expressions.statements.set_item(table, key, value, node, scope)
            elif isinstance(table, Table):
                origin = other.path if isinstance(other, Foreign) else "a value"
                if not _of_the_host(origin):
                    table.missing.append(f"{self.program.where(scope.module, node)} (from {origin})")
        table.update(kwargs)

    def _plain_method(self, first: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if isinstance(first, Path):
            return path_method(self.program, first, name, args, kwargs) if name in PATHS else UNKNOWN
        if name == "sort":
            return None
        if _unsafe(first, name, args, kwargs):
            return UNKNOWN
        if name == "extend" and args and not isinstance(args[0], list | tuple | set | dict | str):
            args = [[UNKNOWN]]
        try:
            result = getattr(first, name)(*args, **kwargs)
        except Exception:  # the pack's own call would raise
            return UNKNOWN
        if isinstance(first, dict) and name == "copy":
            return Table(first)
        return list(result) if isinstance(first, dict) and name in ("keys", "values", "items") else result

    def method(
        self, instance: Instance, name: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls a method of an object of the pack, if its class has it."""
        function, found = instance.cls.find(name)
        if not found or not isinstance(function, Function):
            return UNKNOWN
        return self.invoke(function, [instance, *args], kwargs or {})

    def _instance(self, cls: Class, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if any(base.endswith(("Enum", "Flag")) for base in cls.foreign_bases()):
            return UNKNOWN
        instance = Instance(cls)
        fields, _ = cls.find(FIELDS)
        if fields and not cls.find("__init__")[1]:  # a dataclass, or one of that kind
            instance.names.update(zip(fields, args, strict=False))
            instance.names.update({name: kwargs[name] for name in fields if name in kwargs})
        self.method(instance, "__init__", args, kwargs)
        return instance

    def _super(self, args: Sequence[Any], scope: Scope) -> Any:
        function = next((s.function for s in scope.chain() if s.function is not None), None)
        if args and isinstance(args[0], Class):
            return Parent(args[0], args[1] if len(args) > 1 else args[0])
        if function is None or function.owner is None:
            return Foreign("super()")
        around = next(s for s in scope.chain() if s.function is function)
        own = function.node.args
        names = [*own.posonlyargs, *own.args]
        return Parent(function.owner, around.names.get(names[0].arg) if names else None)

    def invoke(self, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Runs a function of the pack with these arguments."""
        from noderack_registry.packing.syntax.statements import Returned, join

        if self.program.depth >= DEPTH:
            return UNKNOWN
        scope = Scope({}, function.scope.module, function.scope, function=function)
        self._arguments(function, args, kwargs, scope)
        scope.yields = [] if function.generator else None
        self.program.depth += 1
        try:
            with self.program.call_budget():
                if isinstance(function.node, ast.Lambda):
                    return self.expressions.evaluate(function.node.body, scope)
                self.expressions.statements.run(function.node.body, scope)
            value = None
        except Returned as returned:
            value = returned.value
        except RecursionError:
            return UNKNOWN
        except OutOfBudget:
            if self.program.depth > 1 or self.program.steps > self.program.limit:
                raise
            return UNKNOWN
        finally:
            self.program.depth -= 1
        if function.generator:
            return scope.yields
        return join([value, *scope.maybe]) if scope.maybe else value

    def _arguments(
        self, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any], scope: Scope
    ) -> None:
        """Puts arguments under the parameters' names; what nobody passes and nothing defaults is unknown."""
        own = function.node.args
        names = [arg.arg for arg in (*own.posonlyargs, *own.args)]
        scope.names.update(dict.fromkeys(names, UNKNOWN))
        scope.names.update(zip(names[::-1], function.defaults[::-1], strict=False))
        scope.names.update({arg.arg: UNKNOWN for arg in own.kwonlyargs}, **function.keyword_defaults)
        scope.names.update(zip(names, args, strict=False))
        if own.vararg:
            scope.names[own.vararg.arg] = tuple(args[len(names) :])
        named = {*names, *(arg.arg for arg in own.kwonlyargs)}
        scope.names.update({name: value for name, value in kwargs.items() if name in named})
        if own.kwarg:
            scope.names[own.kwarg.arg] = Table({k: v for k, v in kwargs.items() if k not in named})

    def make_class(self, parts: Sequence[Any], scope: Scope) -> Any:
        """`type(name, bases, names)`."""
        name, bases, names = parts
        if not isinstance(name, str):
            return UNKNOWN
        body = dict(names) if isinstance(names, dict) else {}
        bases = tuple(bases) if isinstance(bases, tuple | list) else ()
        cls = Class(name, scope.module, bases, body)
        self.expressions.statements.adopt(cls)
        return cls

    def module_names(self, value: Any) -> dict[str, Any] | None:
        """The attributes of something that has a known set of them."""
        if isinstance(value, Module):
            return {k: v for k, v in value.names.items() if not k.startswith("#")}
        if isinstance(value, Class):
            merged: dict[str, Any] = {}
            for cls in reversed(list(value.mro())):
                merged.update({k: v for k, v in cls.names.items() if not k.startswith("#")})
            return merged
        return dict(value.names) if isinstance(value, Instance) else None


def _unsafe(first: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a method of a plain value cannot be carried out: unknown arguments, or a huge result."""
    if isinstance(first, PURE):
        padding = name in ("zfill", "ljust", "rjust", "center", "expandtabs")
        large = padding and any(isinstance(a, int) and a > 10_000 for a in args)
        return large or not known(args) or not known(kwargs)
    if isinstance(first, dict) and name in ("get", "pop", "setdefault"):
        return not args or isinstance(args[0], Foreign | list | dict | set)
    return name not in CONTAINER.get(type(first), [])


def _of_the_host(path: str) -> bool:
    """Tables of the host itself: a pack that copies them brings nothing of its own."""
    return path.startswith(("nodes.", "comfy_extras.", "comfy."))
