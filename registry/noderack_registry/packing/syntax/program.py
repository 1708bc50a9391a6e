"""The modules of a pack: found by name, read once, run in the reader's way; and the budget for all of it."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noderack_registry.packing.syntax.values import Foreign, Module, Scope

if TYPE_CHECKING:
    from noderack_registry.packing.syntax.statements import Statements

STEPS = 4_000_000  # syntax nodes visited, loops counted: some seconds at most
CALL = 250_000  # of them for one call at a module's top level: what costs more does not name nodes
DEPTH = 24  # of calls within calls


class OutOfBudget(Exception):
    """The pack computes more at import than the reader is willing to follow."""


class Raised(Exception):
    """The pack's code would raise here."""


@dataclass(eq=False)
class Program:
    """All that is known while one pack is read.

    `paths` are folders for absolute imports; `absent` are modules of others that are not installed.
    """

    root: Path
    package: str = "pack"
    modules: dict[str, Module] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    steps: int = 0
    limit: int = STEPS
    depth: int = 0
    host_table: dict[str, Any] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    statements: Statements = field(init=False)

    @property
    def partial(self) -> bool:
        """Whether parts of the pack come from other repositories, and may not be here."""
        return (self.root / ".gitmodules").is_file()

    def spend(self) -> None:
        """Counts one step; raises OutOfBudget past the last."""
        self.steps += 1
        if self.steps > self.limit:
            raise OutOfBudget

    @contextmanager
    def call_budget(self) -> Iterator[None]:
        """Bounds one call from a module's top level; calls within calls share that."""
        before = self.limit
        self.limit = min(before, self.steps + CALL) if self.depth == 1 else before
        try:
            yield
        finally:
            self.limit = before

    def where(self, module: Module, node: ast.AST) -> str:
        """`file.py:12`, for notes."""
        file = module.file
        shown = file.relative_to(self.root) if file.is_relative_to(self.root) else file
        return f"{shown.as_posix()}:{getattr(node, 'lineno', 1)}"

    def note(self, module: Module, node: ast.AST, what: str) -> str:
        """Remembers something that could not be seen, and returns it with its place."""
        text = f"{self.where(module, node)}: {what}"
        if text not in self.unseen:
            self.unseen.append(text)
        return text

    def find(self, name: str) -> Module | None:
        """The pack's module of that full name, not run yet; None when the pack has no such module."""
        if name in self.modules:
            return self.modules[name]
        base = self._place(name)
        if base is None:
            return None
        for file in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if file.is_file():
                return self.add(name, file)
        return self._namespace(name, base) if base.is_dir() else None

    def _place(self, name: str) -> Path | None:
        first, *rest = name.split(".")
        if first == self.package:
            return self.root.joinpath(*rest) if rest else self.root / "__init__.py"
        for path in self.paths:
            base = path.joinpath(first, *rest)
            if base.with_name(f"{base.name}.py").is_file() or base.is_dir():
                return base
        return None

    def _namespace(self, name: str, base: Path) -> Module:
        module = Module(name, base / "__init__.py", name, loaded=True)
        self.modules[name] = module
        return module

    def add(self, name: str, file: Path) -> Module:
        """A module of a file, under a name of its own."""
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        module = self.modules[name] = Module(name, file, package)
        return module

    def load(self, module: Module) -> Module:
        """Runs the module, if that has not begun yet."""
        if module.loaded:
            return module
        module.loaded = True
        module.names.update(__name__=module.name, __file__=str(module.file), __package__=module.package)
        parent, _, own = module.name.rpartition(".")
        if parent in self.modules or (parent and parent.split(".")[0] == self.package and self.find(parent)):
            self.load(self.modules[parent])
            self.modules[parent].names.setdefault(own, module)
        self.statements.run(self._parse(module).body, Scope(module.names, module))
        return module

    def _parse(self, module: Module) -> ast.Module:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a stray backslash in somebody's string is not our news
                return ast.parse(module.file.read_bytes())
        except (SyntaxError, ValueError, RecursionError) as cause:
            self.note(
                module, ast.Pass(lineno=getattr(cause, "lineno", 1) or 1), f"cannot be parsed ({cause})"
            )
            raise Raised(str(cause)) from cause

    def import_name(self, name: str, package: str, level: int) -> Module | Foreign:
        """What an import gives; raises Raised when the pack lacks a module of its own."""
        if level:
            parts = package.split(".")
            base = parts[: len(parts) - level + 1]
            full = ".".join([*base, *([name] if name else [])])
            module = self.find(full) if base else None
            if module is None and base:
                raise Raised(f"no module {full}")
            return self.load(module) if module else Foreign(name)
        module = self.find(name) if name else None
        if module is None and name and self.find(name.partition(".")[0]) and not self.partial:
            raise Raised(f"no module {name}")
        if module is None and any(name == one or name.startswith(f"{one}.") for one in self.absent):
            raise Raised(f"no module {name}")
        return self.load(module) if module else Foreign(name)
