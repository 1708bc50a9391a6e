"""Expressions, in the reader's way: a value where it can be known, Foreign where not."""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noderack_registry.packing.syntax.calls import Calls
from noderack_registry.packing.syntax.program import Program, Raised
from noderack_registry.packing.syntax.values import (
    UNKNOWN,
    Bound,
    Builtin,
    Class,
    Foreign,
    Function,
    Instance,
    Module,
    Parent,
    Plain,
    Scope,
    Table,
    known,
    truth,
)

if TYPE_CHECKING:
    from noderack_registry.packing.syntax.statements import Statements

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
ENUMS = {"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"}
TABLES = {"NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"}  # what a module lacks of these, it lacks
LARGE = 100_000  # elements or digits: nothing a pack needs to name its nodes


class Expressions:
    """Evaluates expressions in a scope."""

    def __init__(self, program: Program, statements: Statements) -> None:
        self.program = program
        self.statements = statements
        self.calls = Calls(program, self)
        self._attributes: dict[type, Callable[[Any, str], Any]] = {
            Foreign: lambda owner, name: Foreign(f"{owner.path}.{name}"),
            Module: self._module_attribute,
            Class: self._class_attribute,
            Instance: self._instance_attribute,
            Parent: self._parent_attribute,
            Function: self._function_attribute,
            Builtin: self._builtin_attribute,
        }

    def evaluate(self, node: ast.expr, scope: Scope) -> Any:
        self.program.spend()
        handler: Callable[[Any, Scope], Any] | None = getattr(self, f"on_{type(node).__name__}", None)
        return handler(node, scope) if handler else UNKNOWN

    def on_Call(self, node: ast.Call, scope: Scope) -> Any:
        return self.calls.on_call(node, scope)

    # Leaves

    def on_Constant(self, node: ast.Constant, scope: Scope) -> Any:
        return node.value if node.value is not ... else UNKNOWN

    def on_Name(self, node: ast.Name, scope: Scope) -> Any:
        return self.look_up(node.id, scope)

    def look_up(self, name: str, scope: Scope) -> Any:
        for around in scope.chain():
            if name in around.names:
                return around.names[name]
        if name in scope.module.names:
            return scope.module.names[name]
        return Builtin(name) if hasattr(builtins, name) or name == "__class__" else Foreign(name)

    def on_JoinedStr(self, node: ast.JoinedStr, scope: Scope) -> Any:
        parts = [self.evaluate(part, scope) for part in node.values]
        return "".join(parts) if all(isinstance(part, str) for part in parts) else UNKNOWN

    def on_FormattedValue(self, node: ast.FormattedValue, scope: Scope) -> Any:
        value = self.evaluate(node.value, scope)
        spec = self.evaluate(node.format_spec, scope) if node.format_spec else ""
        if isinstance(value, Class):
            return UNKNOWN
        if not known(value) or not isinstance(spec, str):
            return UNKNOWN
        value = repr(value) if node.conversion == ord("r") else value
        try:
            return format(value, spec)
        except (ValueError, TypeError):
            return UNKNOWN

    # Containers

    def on_List(self, node: ast.List, scope: Scope) -> Any:
        return self._elements(node.elts, scope)

    def on_Tuple(self, node: ast.Tuple, scope: Scope) -> Any:
        return tuple(self._elements(node.elts, scope))

    def on_Set(self, node: ast.Set, scope: Scope) -> Any:
        try:
            return set(self._elements(node.elts, scope))
        except TypeError:
            return UNKNOWN

    def _elements(self, nodes: Sequence[ast.expr], scope: Scope) -> list[Any]:
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                items = self.items(self.evaluate(node.value, scope))
                found.extend(items if items is not None else [UNKNOWN])
            else:
                found.append(self.evaluate(node, scope))
        return found

    def on_Dict(self, node: ast.Dict, scope: Scope) -> Any:
        table = Table()
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                self.calls.update(table, (self.evaluate(value, scope),), {}, value, scope)
            else:
                self.statements.set_item(
                    table, self.evaluate(key, scope), self.evaluate(value, scope), key, scope
                )
        return table

    def on_ListComp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, scope: Scope) -> Any:
        found: list[Any] = []
        complete = self._comprehend(
            node.generators, scope, lambda s: found.append(self.evaluate(node.elt, s))
        )
        if isinstance(node, ast.SetComp):
            return set(found) if complete and known(found) else UNKNOWN
        return found if complete else [*found, UNKNOWN]

    on_GeneratorExp = on_ListComp
    on_SetComp = on_ListComp

    def on_DictComp(self, node: ast.DictComp, scope: Scope) -> Any:
        table = Table()

        def add(inner: Scope) -> None:
            key, value = self.evaluate(node.key, inner), self.evaluate(node.value, inner)
            self.statements.set_item(table, key, value, node, inner)

        if not self._comprehend(node.generators, scope, add):
            table.missing.append(self.program.where(scope.module, node))
        return table

    def _comprehend(
        self, generators: list[ast.comprehension], scope: Scope, use: Callable[[Scope], object]
    ) -> bool:
        """Calls `use` for each combination; False when an iterable or a condition is not known."""
        first, *rest = generators
        items = self.items(self.evaluate(first.iter, scope))
        if items is None:
            return False
        complete = True
        for item in items:
            inner = Scope({}, scope.module, scope)
            self.statements.bind(first.target, item, inner)
            verdicts = [truth(self.evaluate(test, inner)) for test in first.ifs]
            if False in verdicts:
                continue
            complete &= None not in verdicts
            if rest:
                complete &= self._comprehend(rest, inner, use)
            else:
                use(inner)
        return complete

    def items(self, value: Any) -> list[Any] | None:
        """The elements of something iterable, or None when they are not known."""
        if isinstance(value, str | list | tuple | set | frozenset | dict):
            return list(value)
        if isinstance(value, range):
            return list(value[:LARGE])
        if isinstance(value, Instance):
            result = self.calls.method(value, "__iter__", [])
            return self.items(result) if isinstance(result, list | tuple | dict) else None
        if isinstance(value, Class) and is_enum(value):
            names = [
                n for n, v in value.names.items() if not n.startswith("_") and not isinstance(v, Function)
            ]
            return [self._class_attribute(value, name) for name in names]
        return None

    # Operators

    def on_BinOp(self, node: ast.BinOp, scope: Scope) -> Any:
        return self.binary(self.evaluate(node.left, scope), node.op, self.evaluate(node.right, scope))

    def binary(self, left: Any, operation: ast.operator, right: Any) -> Any:
        if isinstance(left, Table) and isinstance(operation, ast.BitOr):
            return self._merged(left, right)
        if isinstance(operation, ast.Mod) and isinstance(left, str) and not known(right):
            return UNKNOWN
        if not isinstance(left, Plain) or not isinstance(right, Plain):
            if isinstance(left, list | tuple) and isinstance(operation, ast.Add):
                return [*left, UNKNOWN]
            return UNKNOWN
        if isinstance(operation, ast.Pow | ast.LShift | ast.Mult) and _too_large(left, right):
            return UNKNOWN
        try:
            return BINARY[type(operation)](left, right)
        except Exception:  # whatever the pack's own expression would raise
            return UNKNOWN

    def _merged(self, left: Table, right: Any) -> Table:
        table = Table(left)
        if isinstance(right, dict):
            table.update(right)
            table.missing += right.missing if isinstance(right, Table) else []
        else:
            table.missing.append("a mapping joined with | from outside")
        return table

    def on_UnaryOp(self, node: ast.UnaryOp, scope: Scope) -> Any:
        value = self.evaluate(node.operand, scope)
        if isinstance(node.op, ast.Not):
            verdict = truth(value)
            return UNKNOWN if verdict is None else not verdict
        if not isinstance(value, int | float):
            return UNKNOWN
        if isinstance(node.op, ast.USub):
            return -value
        return ~value if isinstance(node.op, ast.Invert) and isinstance(value, int) else value

    def on_BoolOp(self, node: ast.BoolOp, scope: Scope) -> Any:
        stops = isinstance(node.op, ast.Or)
        unsure: Any = None
        for expression in node.values:
            value = self.evaluate(expression, scope)
            verdict = truth(value)
            if verdict is None:
                unsure = value if unsure is None else unsure
            elif verdict is stops:
                # `unknown or {}`, `unknown and False`: whichever it is, its truth is the known value's.
                return value
        return value if unsure is None else unsure

    def on_Compare(self, node: ast.Compare, scope: Scope) -> Any:
        left = self.evaluate(node.left, scope)
        unsure = False
        for operation, expression in zip(node.ops, node.comparators, strict=True):
            right = self.evaluate(expression, scope)
            verdict = self._compare(left, operation, right)
            if verdict is None:
                unsure = True
            elif not verdict:
                return False
            left = right
        return UNKNOWN if unsure else True

    def _compare(self, left: Any, operation: ast.cmpop, right: Any) -> bool | None:
        if isinstance(operation, ast.In | ast.NotIn):
            found = self._contains(right, left)
            return found if found is None or isinstance(operation, ast.In) else not found
        if isinstance(left, Foreign) or isinstance(right, Foreign):
            return None
        if isinstance(operation, ast.Is | ast.IsNot):
            same = left is right or (
                isinstance(left, bool | int | Builtin) and type(left) is type(right) and left == right
            )
            return same if isinstance(operation, ast.Is) else not same
        try:
            return bool(COMPARE[type(operation)](left, right))
        except TypeError:
            return None

    def _contains(self, container: Any, item: Any) -> bool | None:
        if isinstance(item, Foreign) or isinstance(container, Foreign):
            return None
        if isinstance(container, Class | Module):
            return None
        if isinstance(container, Instance):
            return None
        try:
            if item in container:
                return True
        except TypeError:
            return None
        incomplete = isinstance(container, Table) and bool(container.missing)
        vague = not isinstance(container, str | dict) and any(isinstance(x, Foreign) for x in container)
        return None if incomplete or vague else False

    def on_IfExp(self, node: ast.IfExp, scope: Scope) -> Any:
        verdict = truth(self.evaluate(node.test, scope))
        if verdict is not None:
            return self.evaluate(node.body if verdict else node.orelse, scope)
        first, second = self.evaluate(node.body, scope), self.evaluate(node.orelse, scope)
        return second if isinstance(first, Foreign) else first

    def on_NamedExpr(self, node: ast.NamedExpr, scope: Scope) -> Any:
        value = self.evaluate(node.value, scope)
        self.statements.bind(node.target, value, scope)
        return value

    def on_Lambda(self, node: ast.Lambda, scope: Scope) -> Any:
        return self.statements.function(node, scope)

    def on_Await(self, node: ast.Await, scope: Scope) -> Any:
        return self.evaluate(node.value, scope)

    def on_Yield(self, node: ast.Yield, scope: Scope) -> Any:
        value = self.evaluate(node.value, scope) if node.value else None
        around = next((s for s in scope.chain() if s.yields is not None), None)
        if around is not None and around.yields is not None:
            around.yields.append(value)
        return UNKNOWN

    def on_YieldFrom(self, node: ast.YieldFrom, scope: Scope) -> Any:
        items = self.items(self.evaluate(node.value, scope))
        around = next((s for s in scope.chain() if s.yields is not None), None)
        if around is not None and around.yields is not None:
            around.yields.extend(items if items is not None else [UNKNOWN])
        return UNKNOWN

    def on_Starred(self, node: ast.Starred, scope: Scope) -> Any:
        return self.evaluate(node.value, scope)

    # Parts

    def on_Slice(self, node: ast.Slice, scope: Scope) -> Any:
        parts = [self.evaluate(p, scope) if p else None for p in (node.lower, node.upper, node.step)]
        return slice(*parts) if all(p is None or isinstance(p, int) for p in parts) else UNKNOWN

    def on_Subscript(self, node: ast.Subscript, scope: Scope) -> Any:
        value, key = self.evaluate(node.value, scope), self.evaluate(node.slice, scope)
        if isinstance(value, str) and isinstance(key, str):
            return UNKNOWN
        if isinstance(value, Foreign):
            if value.path == "configparser.ConfigParser()" and not any(self.program.root.rglob("*.ini")):
                raise Raised(f"no section {key}")  # the settings file is made later, by the user
            if value.path == "sys.modules" and isinstance(key, str):
                return self.program.modules.get(key, UNKNOWN)
            shown = repr(key) if isinstance(key, str | int) else ""
            return Foreign(f"{value.path}[{shown}]")
        if isinstance(key, Foreign):
            return UNKNOWN
        if isinstance(value, Instance):
            return self.calls.method(value, "__getitem__", [key])
        try:
            return value[key]
        except Exception:  # a missing key, a wrong type: what the pack would trip over itself
            return UNKNOWN

    def on_Attribute(self, node: ast.Attribute, scope: Scope) -> Any:
        return self.attribute(self.evaluate(node.value, scope), node.attr)

    def attribute(self, owner: Any, name: str) -> Any:
        """`owner.name`; Foreign when it cannot be told."""
        reader = self._attributes.get(type(owner))
        if reader is not None:
            return reader(owner, name)
        if isinstance(owner, Path) and name in ("name", "stem", "suffix", "parent", "parts", "suffixes"):
            return getattr(owner, name)
        if isinstance(owner, str) and name == "value":
            return owner  # a member of an enumeration of strings
        return Bound(owner, name) if isinstance(owner, Plain) else UNKNOWN

    def _function_attribute(self, function: Function, name: str) -> Any:
        own = function.name if name in ("__name__", "__qualname__") else UNKNOWN
        return function.names.get(name, own)

    def _builtin_attribute(self, builtin: Builtin, name: str) -> Any:
        return builtin.name if name == "__name__" else Foreign(f"{builtin.name}.{name}")

    def _module_attribute(self, module: Module, name: str) -> Any:
        if name in module.names:
            return module.names[name]
        if name in TABLES and module.loaded and "__getattr__" not in module.names:
            raise Raised(f"module {module.name} has no {name}")
        if name == "__dict__":
            return Table(module.names)
        if name == "__path__":
            return [str(module.file.parent)]
        child = self.program.find(f"{module.name}.{name}") if module.is_package else None
        return self.program.load(child) if child else Foreign(f"{module.name}.{name}")

    def _class_attribute(self, cls: Class, name: str) -> Any:
        value, found = cls.find(name)
        if found and is_enum(cls) and not name.startswith("_") and not isinstance(value, Function):
            return member(cls, name, value)
        if found:
            return Bound(cls, value) if isinstance(value, Function) and value.kind == "class" else value
        special = {
            "__name__": cls.name,
            "__qualname__": cls.name,
            "__module__": cls.module.name,
            "__doc__": cls.doc or None,
            "__bases__": cls.bases,
        }
        if name in special:
            return special[name]
        if name == "__dict__":
            return Table(cls.names)
        if name == "__mro__":
            return tuple(cls.mro())
        return Foreign(f"{cls.name}.{name}")

    def _instance_attribute(self, instance: Instance, name: str) -> Any:
        if name in instance.names:
            return instance.names[name]
        if name == "__class__":
            return instance.cls
        if name == "__dict__":
            return Table(instance.names)
        value, found = instance.cls.find(name)
        if not found:
            return Foreign(f"{instance.cls.name}.{name}")
        if not isinstance(value, Function) or value.kind == "static":
            return value
        if value.kind == "property":
            return self.calls.invoke(value, [instance], {})
        return Bound(instance.cls if value.kind == "class" else instance, value)

    def _parent_attribute(self, parent: Parent, name: str) -> Any:
        first = parent.first.cls if isinstance(parent.first, Instance) else parent.first
        order = list(first.mro()) if isinstance(first, Class) else list(parent.cls.mro())
        after = order[order.index(parent.cls) + 1 :] if parent.cls in order else []
        for cls in after:
            if name in cls.names:
                value = cls.names[name]
                return Bound(parent.first, value) if isinstance(value, Function) else value
        return Foreign(f"super().{name}")


def is_enum(cls: Class) -> bool:
    """Whether a class of the pack is an enumeration."""
    return any(base.rpartition(".")[2] in ENUMS for base in cls.foreign_bases())


def member(cls: Class, name: str, value: Any) -> Any:
    """A member of an enumeration; one that is a string as well stands for that string."""
    texts = any(isinstance(base, Builtin) and base.name == "str" for c in cls.mro() for base in c.bases)
    texts = texts or any(base.endswith("StrEnum") for base in cls.foreign_bases())
    if texts and isinstance(value, str):
        return value
    found = cls.members.setdefault(name, Instance(cls, {"name": name, "value": value}))
    return found


def _too_large(left: Any, right: Any) -> bool:
    """Whether a product or power might be huge."""
    if isinstance(left, int) and isinstance(right, int):
        return left.bit_length() * max(1, abs(right)) > LARGE
    counts = [x for x in (left, right) if isinstance(x, int)]
    return any(abs(count) > LARGE for count in counts)
