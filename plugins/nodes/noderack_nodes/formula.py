"""Sums that a workflow's author writes: read as a syntax tree of which only arithmetic is carried out."""

from __future__ import annotations

import ast
import math
import operator
import string
from collections.abc import Callable, Mapping
from typing import Any

from noderack_host.v3 import io

from noderack_nodes.errors import NodeInputError
from noderack_nodes.sockets import Mappings

_MOST = 4000
"""The highest power, so that one line cannot fill the memory."""
_LONGEST = 2000


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > _MOST or abs(base) > 10**_MOST:
        raise ValueError(f"the power {exponent} is above {_MOST}")
    return base**exponent


def _shifted(number: Any, places: Any) -> Any:
    if places > _MOST:
        raise ValueError(f"a shift by {places} places is above {_MOST}")
    return number << places


def _sum(*numbers: Any) -> Any:
    return sum(numbers[0] if len(numbers) == 1 and isinstance(numbers[0], list | tuple) else numbers)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sum": _sum,
    "pow": _power,
    **{function.__name__: function for function in (min, max, abs, round, int, float)},
    **{
        function.__name__: function
        for function in (
            *(math.sqrt, math.ceil, math.floor, math.log, math.log2, math.log10),
            *(math.sin, math.cos, math.tan),
        )
    },
}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: _shifted,
    ast.RShift: operator.rshift,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
}


def evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression of numbers, names and FUNCTIONS; raises NodeInputError."""
    if len(text) > _LONGEST:
        raise NodeInputError(f"the expression has {len(text)} characters, more than {_LONGEST}: split it")
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, names)
    except NodeInputError:
        raise
    except SyntaxError as error:
        raise NodeInputError(
            f"{text!r} is no expression ({error.msg}): write one such as a * 8 + b"
        ) from error
    except (ArithmeticError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise NodeInputError(f"{text!r} cannot be worked out: {error}") from error


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    def of(part: ast.expr) -> Any:
        return _value(part, names)

    match node:
        case ast.Constant(value=bool() | int() | float() as number):
            return number
        case ast.Name(id=name):
            return _named(name, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](of(left), of(right))
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](of(operand))
        case ast.BoolOp(op=op, values=values):
            return _either(isinstance(op, ast.Or), values, of)
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _compared(of(left), ops, others, of)
    return _chosen(node, of)


def _chosen(node: ast.expr, of: Callable[[ast.expr], Any]) -> Any:
    match node:
        case ast.IfExp(test=test, body=body, orelse=other):
            return of(body if of(test) else other)
        case ast.Subscript(value=many, slice=place):
            return of(many)[of(place)]
        case ast.Call(func=ast.Name(id=name), args=given, keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](*map(of, given))
    known = ", ".join(FUNCTIONS)
    raise NodeInputError(f"{ast.unparse(node)!r} is not allowed here; the functions are {known}")


def _named(name: str, names: Mapping[str, Any]) -> Any:
    if name not in names:
        raise NodeInputError(f"there is no {name!r}: link a value to it, or use {', '.join(names)}")
    return names[name]


def _either(stop: bool, values: list[ast.expr], of: Callable[[ast.expr], Any]) -> Any:
    found: Any = None
    for part in values:
        found = of(part)
        if bool(found) is stop:
            break
    return found


def _compared(left: Any, ops: list[ast.cmpop], others: list[ast.expr], of: Callable[[ast.expr], Any]) -> bool:
    for op, other in zip(ops, others, strict=True):
        right = of(other)
        if type(op) not in _COMPARE or not _COMPARE[type(op)](left, right):
            return False
        left = right
    return True


class ComfyMathExpression(io.ComfyNode):
    """A sum over as many numbers as are linked."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The numbers are called a, b, c …; all of them together are `values`."""
        number = io.MultiType.Input("value", [io.Float, io.Int, io.Boolean])
        growing = io.Autogrow.TemplateNames(input=number, names=list(string.ascii_lowercase), min=1)
        return io.Schema(
            node_id="ComfyMathExpression",
            display_name="Math Expression",
            category="utilities",
            inputs=[
                io.String.Input("expression", default="a + b", multiline=True),
                io.Autogrow.Input("values", template=growing),
            ],
            outputs=[
                io.Float.Output(display_name="FLOAT"),
                io.Int.Output(display_name="INT"),
                io.Boolean.Output(display_name="BOOL"),
            ],
        )

    @classmethod
    def execute(cls, expression: str, values: dict[str, Any]) -> io.NodeOutput:
        """The value as a number, without what is behind the point, and as a yes or no."""
        found = evaluate(expression, {**values, "values": list(values.values())})
        if not isinstance(found, int | float):
            raise NodeInputError(f"{expression!r} gives {found!r}, which is no number")
        try:
            number = float(found)
        except OverflowError as error:
            raise NodeInputError(f"{expression!r} gives too large a number") from error
        if not math.isfinite(number):
            raise NodeInputError(f"{expression!r} gives {found!r}, which is no finite number")
        return io.NodeOutput(number, int(found), bool(found))


NODES: Mappings = {"ComfyMathExpression": ComfyMathExpression}
NAMES = {"ComfyMathExpression": "Math Expression"}
