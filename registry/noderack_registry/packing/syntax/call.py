"""A call that the reader has come to, as its handlers see it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noderack_registry.packing.syntax.program import Program
from noderack_registry.packing.syntax.values import UNKNOWN, Scope

if TYPE_CHECKING:
    from noderack_registry.packing.syntax.calls import Calls


@dataclass(frozen=True, slots=True)
class Call:
    """What is passed, and from where; `reader` carries out further calls."""

    reader: Calls
    args: list[Any]
    kwargs: dict[str, Any]
    scope: Scope
    node: ast.AST

    @property
    def first(self) -> Any:
        """The first argument, or unknown."""
        return self.args[0] if self.args else UNKNOWN

    @property
    def program(self) -> Program:
        return self.reader.program

    def items(self) -> list[Any] | None:
        """The elements of the first argument, if they are known."""
        return self.reader.expressions.items(self.first)

    def again(self, function: Any, argument: Any) -> Any:
        """Calls something that was passed."""
        return self.reader.call(function, [argument], {}, self.node, self.scope)


Handler = Callable[[Call], Any]
