"""Modules of the field's interface that are not provided at all: they import, and hold stand-ins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from noderack_compat.extras import table
from noderack_compat.missing import gap, interface

ROOTS = ("comfy", "comfy_extras", "comfy_api", "comfy_execution", "comfy_config", "app", "protocol", "utils")
# Modules of `comfy` that older packs import without it: hosts have that folder on the path as well.
BARE = ("ldm", "latent_formats", "model_base", "model_management", "model_patcher", "samplers")
_ABSENT = "Not provided by Noderack: its names can be imported, and refuse to be used."


class Finder(MetaPathFinder, Loader):
    """Asked last, when no file of that name exists; answers for modules that interface.txt lists."""

    def __init__(self) -> None:
        self.modules = set(interface())
        self.packages = {name.rpartition(".")[0] for name in self.modules}
        for name in tuple(self.packages):
            while name:
                self.packages.add(name)
                name = name.rpartition(".")[0]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = fullname.partition(".")[0]
        if top in BARE and self.knows(f"comfy.{fullname}"):
            return ModuleSpec(fullname, self, is_package=f"comfy.{fullname}" in self.packages)
        if top not in ROOTS or not self.knows(fullname):
            return None
        return ModuleSpec(fullname, self, is_package=fullname in self.packages)

    def knows(self, name: str) -> bool:
        """Whether the field has a module of that name."""
        return name in self.modules or name in self.packages

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return import_module(f"comfy.{spec.name}") if spec.name.partition(".")[0] in BARE else None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ not in self.modules | self.packages or getattr(module, "__file__", None):
            return  # another name of a module that is there
        package = module.__name__ in self.packages
        found: Any = children(module.__name__) if package else gap(module.__name__)
        if package:
            module.__all__ = sorted(interface().get(module.__name__, ()))  # type: ignore[attr-defined]
        module.__getattr__ = found  # type: ignore[method-assign]
        here = any(name == module.__name__ for name, _ in table())
        module.__doc__ = "Classes of our nodes; its other names refuse to be used." if here else _ABSENT


def install() -> None:
    """Puts the finder at the end of the import system's list, once."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.append(Finder())


def children(package: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose modules are reached by attribute, as `comfy.samplers`."""

    def child(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return import_module(f"{package}.{name}")
        except ModuleNotFoundError as cause:
            if cause.name != f"{package}.{name}":
                raise
            return gap(package)(name)

    return child
