"""Statements, in the reader's way: where a condition is not known, both branches run and are joined."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from noderack_registry.packing.syntax.expressions import TABLES, Expressions
from noderack_registry.packing.syntax.program import Program, Raised
from noderack_registry.packing.syntax.values import (
    FIELDS,
    UNKNOWN,
    Bound,
    Class,
    Foreign,
    Function,
    Instance,
    Module,
    Scope,
    Table,
    truth,
)

LOOPS = 2000
KINDS = {"staticmethod": "static", "classmethod": "class", "property": "property"}


class Left(Exception):
    """The rest of a block is not run: break, continue, return."""


class LeftLoop(Left):
    def __init__(self, again: bool) -> None:
        super().__init__()
        self.again = again


class Returned(Left):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def join(values: Sequence[Any]) -> Any:
    """One value for several possible ones: tables together, else the first that says something."""
    tables = [value for value in values if isinstance(value, Table)]
    if len(tables) > 1 and len(tables) == len([v for v in values if v is not None]):
        merged = Table()
        for table in tables:
            merged.update(table)
            merged.missing += table.missing
        return merged
    telling = [v for v in values if not isinstance(v, Foreign) and v is not None and v not in ({}, [])]
    return telling[0] if telling else (values[0] if values else None)


class Statements:
    """Runs statements in a scope."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.expressions = Expressions(program, self)
        self.evaluate = self.expressions.evaluate

    def run(self, body: Iterable[ast.stmt], scope: Scope) -> None:
        for statement in body:
            self.program.spend()
            handler: Callable[[Any, Scope], None] | None = getattr(
                self, f"on_{type(statement).__name__}", None
            )
            if handler:
                handler(statement, scope)

    # Simple statements

    def on_Expr(self, node: ast.Expr, scope: Scope) -> None:
        self.evaluate(node.value, scope)

    def on_Assign(self, node: ast.Assign, scope: Scope) -> None:
        value = self.evaluate(node.value, scope)
        for target in node.targets:
            self.bind(target, value, scope)

    def on_AnnAssign(self, node: ast.AnnAssign, scope: Scope) -> None:
        if scope.is_class and isinstance(node.target, ast.Name):
            scope.names.setdefault(FIELDS, []).append(node.target.id)
        if node.value is not None:
            self.bind(node.target, self.evaluate(node.value, scope), scope)

    def on_AugAssign(self, node: ast.AugAssign, scope: Scope) -> None:
        value = self.evaluate(node.value, scope)
        old = self.evaluate(node.target, scope)
        if isinstance(old, Table) and isinstance(node.op, ast.BitOr):
            self.expressions.calls.update(old, (value,), {}, node, scope)
        elif isinstance(old, list) and isinstance(node.op, ast.Add):
            old.extend(value if isinstance(value, list | tuple | set) else [value])
        else:
            self.bind(node.target, self.expressions.binary(old, node.op, value), scope)

    def on_Return(self, node: ast.Return, scope: Scope) -> None:
        raise Returned(self.evaluate(node.value, scope) if node.value else None)

    def on_Raise(self, node: ast.Raise, scope: Scope) -> None:
        raise Raised(ast.unparse(node))

    def on_Break(self, node: ast.Break, scope: Scope) -> None:
        raise LeftLoop(again=False)

    def on_Continue(self, node: ast.Continue, scope: Scope) -> None:
        raise LeftLoop(again=True)

    def on_Global(self, node: ast.Global, scope: Scope) -> None:
        scope.outer.update(node.names)

    def on_Nonlocal(self, node: ast.Nonlocal, scope: Scope) -> None:
        for name in node.names:
            owner = next((s for s in scope.chain() if s is not scope and name in s.names), None)
            if owner is not None:
                scope.aliases[name] = owner

    def on_Delete(self, node: ast.Delete, scope: Scope) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                scope.names.pop(target.id, None)
            elif isinstance(target, ast.Subscript):
                container = self.evaluate(target.value, scope)
                key = self.evaluate(target.slice, scope)
                if isinstance(container, Table) and not isinstance(key, Foreign):
                    container.pop(key, None)

    # Imports

    def on_Import(self, node: ast.Import, scope: Scope) -> None:
        for alias in node.names:
            module = self.program.import_name(alias.name, scope.module.package, 0)
            if alias.asname:
                self.assign(alias.asname, module, scope)
            else:
                first = alias.name.partition(".")[0]
                self.assign(first, self.program.import_name(first, scope.module.package, 0), scope)

    def on_ImportFrom(self, node: ast.ImportFrom, scope: Scope) -> None:
        source = self.program.import_name(node.module or "", scope.module.package, node.level)
        for alias in node.names:
            if alias.name == "*":
                self._import_all(source, scope)
            else:
                value = self._imported(source, alias.name)
                self.assign(alias.asname or alias.name, value, scope)

    def _imported(self, source: Module | Foreign, name: str) -> Any:
        if isinstance(source, Foreign):
            return Foreign(f"{source.path}.{name}".lstrip("."))
        if name in source.names:
            return source.names[name]
        child = self.program.find(f"{source.name}.{name}") if source.is_package else None
        if child is not None:
            return self.program.load(child)
        if name in TABLES and "__getattr__" not in source.names:
            raise Raised(f"cannot import {name} from {source.name}")
        return Foreign(f"{source.name}.{name}")

    def _import_all(self, source: Module | Foreign, scope: Scope) -> None:
        if isinstance(source, Foreign):
            return
        listed = source.names.get("__all__")
        if isinstance(listed, list | tuple):
            names = [name for name in listed if isinstance(name, str)]
        else:
            names = [name for name in source.names if not name.startswith("_")]
        for name in names:
            self.assign(name, self._imported(source, name), scope)

    # Blocks

    def on_If(self, node: ast.If, scope: Scope) -> None:
        verdict = truth(self.evaluate(node.test, scope))
        if verdict is None:
            self.branches([node.body, node.orelse], scope)
        else:
            self.run(node.body if verdict else node.orelse, scope)

    def branches(self, bodies: Sequence[Sequence[ast.stmt]], scope: Scope) -> None:
        """Runs each body from the same names; afterwards a name has what any of them gave it."""
        before = dict(scope.names)
        ends: list[dict[str, Any]] = []
        left: list[Left | None] = []
        for body in bodies:
            scope.names.clear()
            scope.names.update(before)
            left.append(self._possibly(body, scope))
            ends.append(dict(scope.names))
        names = dict.fromkeys(name for end in ends for name in end)
        for name in names:
            values = [end[name] for end in ends if name in end]
            # Equality of unknown objects says nothing: identity decides whether the branches differ.
            same = all(value is values[0] for value in values)
            changed = [v for v in values if v is not before.get(name)]
            if all(truth(v) is False for v in changed) and truth(before.get(name)):
                changed = [v for v in values if truth(v)]  # one branch lowers a flag: it may be up
            scope.names[name] = values[0] if same else join(changed or values)
        if all(isinstance(end, Returned) for end in left):
            raise Returned(join([end.value for end in left if isinstance(end, Returned)]))
        scope.maybe += [end.value for end in left if isinstance(end, Returned)]

    def _possibly(self, body: Sequence[ast.stmt], scope: Scope) -> Left | None:
        try:
            self.run(body, scope)
        except Left as left:
            return left
        except Raised:
            return LeftLoop(again=False)
        return None

    def on_Try(self, node: ast.Try, scope: Scope) -> None:
        try:
            self.run(node.body, scope)
            self.run(node.orelse, scope)
        except Raised:
            self._handle(node, scope)
        finally:
            self.run(node.finalbody, scope)

    on_TryStar = on_Try

    def _handle(self, node: ast.Try, scope: Scope) -> None:
        if not node.handlers:
            raise Raised
        handler = node.handlers[0]
        if handler.name:
            self.assign(handler.name, UNKNOWN, scope)
        self.run(handler.body, scope)

    def on_With(self, node: ast.With | ast.AsyncWith, scope: Scope) -> None:
        for item in node.items:
            value = self.evaluate(item.context_expr, scope)
            if item.optional_vars is not None:
                self.bind(item.optional_vars, value, scope)
        self.run(node.body, scope)

    on_AsyncWith = on_With

    def on_For(self, node: ast.For | ast.AsyncFor, scope: Scope) -> None:
        items = self.expressions.items(self.evaluate(node.iter, scope))
        if items is None:
            self.bind(node.target, UNKNOWN, scope)
            self.branches([node.body, []], scope)
            return
        for item in items[:LOOPS]:
            self.bind(node.target, item, scope)
            try:
                self.run(node.body, scope)
            except LeftLoop as left:
                if not left.again:
                    return
        self.run(node.orelse, scope)

    on_AsyncFor = on_For

    def on_While(self, node: ast.While, scope: Scope) -> None:
        for _ in range(LOOPS):
            verdict = truth(self.evaluate(node.test, scope))
            if verdict is None:
                self.branches([node.body, []], scope)
                return
            if not verdict:
                return
            try:
                self.run(node.body, scope)
            except LeftLoop as left:
                if not left.again:
                    return

    def on_Match(self, node: ast.Match, scope: Scope) -> None:
        self.evaluate(node.subject, scope)
        self.branches([*(case.body for case in node.cases), []], scope)

    # Definitions

    def on_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        self.assign(node.name, self._decorated(self.function(node, scope), node, scope), scope)

    on_AsyncFunctionDef = on_FunctionDef

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope) -> Function:
        defaults = tuple(self.evaluate(default, scope) for default in node.args.defaults)
        pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        named = {arg.arg: self.evaluate(default, scope) for arg, default in pairs if default is not None}
        name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
        closure = (
            next(s for s in scope.chain() if not s.is_class) if scope.is_class and scope.parent else scope
        )
        function = Function(name, node, closure, defaults, named)
        if not isinstance(node, ast.Lambda):
            function.generator = _yields(node.body)
        return function

    def _decorated(
        self, value: Any, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, scope: Scope
    ) -> Any:
        for expression in reversed(node.decorator_list):
            decorator = self.evaluate(expression, scope)
            name = getattr(decorator, "name", "")
            if isinstance(value, Function) and name in KINDS:
                value.kind = KINDS[name]
            elif isinstance(decorator, Foreign):
                if isinstance(value, Function):
                    value.marks.append(decorator)
            else:
                result = self.expressions.calls.call(decorator, [value], {}, expression, scope)
                value = value if result is None or isinstance(result, Foreign) else result
        return value

    def on_ClassDef(self, node: ast.ClassDef, scope: Scope) -> None:
        bases = tuple(self.evaluate(base, scope) for base in node.bases if not isinstance(base, ast.Starred))
        keywords = {k.arg: self.evaluate(k.value, scope) for k in node.keywords if k.arg}
        doc = ast.get_docstring(node) or ""
        cls = Class(node.name, scope.module, bases, {}, doc, node.lineno)
        body = Scope(cls.names, scope.module, scope, is_class=True)
        self.run(node.body, body)
        self.adopt(cls)
        self._created(cls, keywords, node, scope)
        self.assign(node.name, self._decorated(cls, node, scope), scope)

    def adopt(self, cls: Class) -> None:
        """Tells functions in a class body which class they belong to (for `super()`)."""
        for value in cls.names.values():
            if isinstance(value, Function) and value.owner is None:
                value.owner = cls

    def _created(self, cls: Class, keywords: dict[str, Any], node: ast.AST, scope: Scope) -> None:
        """Hooks that see a new class: `__init_subclass__` of its bases, those of its metaclass."""
        calls = self.expressions.calls
        meta = keywords.pop("metaclass", None) or next(
            (c.names["#metaclass"] for c in cls.mro() if "#metaclass" in c.names), None
        )
        if isinstance(meta, Class):
            cls.names["#metaclass"] = meta
            for hook in ("__new__", "__init__"):
                function, found = meta.find(hook)
                if found and isinstance(function, Function):
                    first = meta if hook == "__new__" else cls
                    arguments = [first, cls.name, cls.bases, Table(cls.names)]
                    calls.invoke(function, arguments, keywords)
        for base in cls.bases:
            function, found = base.find("__init_subclass__") if isinstance(base, Class) else (None, False)
            if found and isinstance(function, Function):
                calls.invoke(function, [cls], keywords)
                return

    # Names

    def assign(self, name: str, value: Any, scope: Scope) -> None:
        if name in scope.outer:
            scope.module.names[name] = value
        elif name in scope.aliases:
            scope.aliases[name].names[name] = value
        else:
            scope.names[name] = value

    def bind(self, target: ast.expr, value: Any, scope: Scope) -> None:
        """Gives a value to whatever stands left of `=`."""
        if isinstance(target, ast.Name):
            self.assign(target.id, value, scope)
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target.elts, value, scope)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, value, scope)
        elif isinstance(target, ast.Attribute):
            self.set_attribute(self.evaluate(target.value, scope), target.attr, value)
        elif isinstance(target, ast.Subscript):
            container, key = self.evaluate(target.value, scope), self.evaluate(target.slice, scope)
            self.set_item(container, key, value, target, scope)

    def _unpack(self, targets: Sequence[ast.expr], value: Any, scope: Scope) -> None:
        items = self.expressions.items(value)
        starred = next((i for i, t in enumerate(targets) if isinstance(t, ast.Starred)), None)
        if items is not None and starred is not None and len(items) >= len(targets) - 1:
            rest = len(items) - (len(targets) - starred - 1)
            items = [*items[:starred], items[starred:rest], *items[rest:]]
        for index, target in enumerate(targets):
            fits = items is not None and len(items) == len(targets)
            self.bind(target, items[index] if fits and items is not None else UNKNOWN, scope)

    def set_attribute(self, owner: Any, name: str, value: Any) -> None:
        if isinstance(owner, Module | Class | Instance | Function):
            owner.names[name] = value
        elif isinstance(owner, Bound) and isinstance(owner.function, Function):
            owner.function.names[name] = value

    def set_item(self, container: Any, key: Any, value: Any, node: ast.AST, scope: Scope) -> None:
        if isinstance(container, Table):
            if isinstance(key, Foreign) or not _hashable(key):
                container.missing.append(self.program.where(scope.module, node))
            else:
                container[key] = value
        elif isinstance(container, list) and isinstance(key, int) and -len(container) <= key < len(container):
            container[key] = value
        elif isinstance(container, Foreign) and container.path.endswith("nodes.NODE_CLASS_MAPPINGS"):
            self.program.host_table.update({key: value} if isinstance(key, str) else {})
        elif isinstance(container, Instance):
            self.expressions.calls.method(container, "__setitem__", [key, value])


def _hashable(key: Any) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True


def _yields(body: Sequence[ast.stmt]) -> bool:
    """Whether a function's own body (not that of a function inside it) yields."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
    return False
