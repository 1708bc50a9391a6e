"""What a pack learns from its own files, and how it loads its own modules; no other file is looked at."""

from __future__ import annotations

import glob
import json
import os
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any

from noderack_registry.packing.syntax.call import Call, Handler
from noderack_registry.packing.syntax.program import Program
from noderack_registry.packing.syntax.values import UNKNOWN, Foreign, Module, Table, known

LARGEST_FILE = 4 << 20


def open_file(call: Call) -> Any:
    return Foreign("open()", tuple(call.args), call.kwargs)


def _inside(program: Program, path: Any) -> Path | None:
    """A path below the pack's root; nothing else on this machine is looked at."""
    if not isinstance(path, str | Path):
        return None
    file = Path(os.path.normpath(program.root / path))
    return file if file.is_relative_to(program.root) else None


def _on_text(function: Callable[..., Any]) -> Handler:
    def handler(call: Call) -> Any:
        texts = [str(a) if isinstance(a, Path) else a for a in call.args]
        return function(*texts) if texts and all(isinstance(t, str) for t in texts) else UNKNOWN

    return handler


def _test_path(test: Callable[[Path], Any]) -> Handler:
    def handler(call: Call) -> Any:
        file = _inside(call.program, call.args[0]) if call.args else None
        return test(file) if file is not None else UNKNOWN

    return handler


def _names_in(folder: Path) -> Any:
    return sorted(child.name for child in folder.iterdir()) if folder.is_dir() else UNKNOWN


def _glob(call: Call) -> Any:
    pattern = str(call.args[0]) if call.args and isinstance(call.args[0], str | Path) else ""
    if not _inside(call.program, pattern.split("*")[0] or "/"):
        return UNKNOWN
    return sorted(glob.glob(pattern, recursive=call.kwargs.get("recursive") is True))  # noqa: PTH207 - its meaning of **


def _walk(call: Call) -> Any:
    folder = _inside(call.program, call.args[0]) if call.args else None
    if folder is None:
        return UNKNOWN
    return [(top, sorted(folders), sorted(names)) for top, folders, names in os.walk(folder)]


def _path(call: Call) -> Any:
    return Path(*call.args) if all(isinstance(a, str | Path) for a in call.args) else UNKNOWN


def path_method(program: Program, path: Path, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """A method of a pathlib path; what looks at the disk does so inside the pack only."""
    if not known(args):
        return UNKNOWN
    if name in ("resolve", "absolute"):
        return Path(os.path.normpath(path))
    looks = name in ("exists", "is_file", "is_dir", "iterdir", "glob", "rglob", "read_text")
    if looks and _inside(program, path) is None:
        return UNKNOWN
    try:
        result = getattr(path, name)(*args, **kwargs)
        return sorted(result) if name in ("iterdir", "glob", "rglob") else result
    except (OSError, ValueError, TypeError, NotImplementedError):
        return UNKNOWN


def _json_load(call: Call) -> Any:
    source = call.first
    opened = isinstance(source, Foreign) and source.path == "open()" and source.args
    file = _inside(call.program, source.args[0]) if opened and isinstance(source, Foreign) else None
    if file is None or not file.is_file() or file.stat().st_size > LARGEST_FILE:
        return UNKNOWN
    try:
        return _tables(json.loads(file.read_text("utf-8")))
    except ValueError:
        return UNKNOWN


def _json_loads(call: Call) -> Any:
    try:
        return _tables(json.loads(call.args[0])) if call.args and isinstance(call.args[0], str) else UNKNOWN
    except ValueError:
        return UNKNOWN


def _tables(value: Any) -> Any:
    if isinstance(value, dict):
        return Table({key: _tables(item) for key, item in value.items()})
    return [_tables(item) for item in value] if isinstance(value, list) else value


def import_module(call: Call) -> Any:
    name = call.args[0] if call.args else call.kwargs.get("name")
    if not isinstance(name, str):
        call.program.note(call.scope.module, call.node, "imports a module whose name is computed")
        return UNKNOWN
    level = len(name) - len(name.lstrip("."))
    package = call.args[1] if len(call.args) > 1 else call.kwargs.get("package")
    package = package if isinstance(package, str) else call.scope.module.package
    return call.program.import_name(name.lstrip("."), package, level)


def _spec(call: Call) -> Any:
    location = call.args[1] if len(call.args) > 1 else call.kwargs.get("location")
    file = _inside(call.program, location)
    name = call.args[0] if call.args else call.kwargs.get("name")
    if file is None or not file.is_file() or file.suffix != ".py":
        call.program.note(call.scope.module, call.node, "loads a module from a path that is computed")
        return Foreign("spec")
    shown = name if isinstance(name, str) else file.stem
    return call.program.modules.get(shown) or _by_file(call.program, shown, file)


def _by_file(program: Program, name: str, file: Path) -> Module:
    """A module loaded from a file: relative imports in it work as the name says."""
    inside = file.relative_to(program.root).with_suffix("").parts
    parts = inside[:-1] if file.name == "__init__.py" else inside
    own = ".".join((program.package, *parts))
    module = program.find(own) if name.startswith(program.package) else None
    return module or program.add(name, file)


def _iter_modules(call: Call) -> Any:
    paths = call.args[0] if call.args else call.kwargs.get("path")
    folders = [_inside(call.program, p) for p in paths] if isinstance(paths, list | tuple) else []
    found = []
    for folder in folders:
        for child in sorted(folder.iterdir()) if folder and folder.is_dir() else []:
            package = (child / "__init__.py").is_file()
            if (child.suffix == ".py" and child.stem != "__init__") or package:
                found.append((UNKNOWN, child.stem, package))
    return found if folders else UNKNOWN


def _given(call: Call) -> Any:
    return call.first


FILES: dict[str, Handler] = {
    "os.path.join": _on_text(posixpath.join),
    "os.path.dirname": _on_text(posixpath.dirname),
    "os.path.basename": _on_text(posixpath.basename),
    "os.path.splitext": _on_text(posixpath.splitext),
    "os.path.split": _on_text(posixpath.split),
    "os.path.abspath": _on_text(os.path.normpath),
    "os.path.realpath": _on_text(os.path.normpath),
    "os.path.normpath": _on_text(os.path.normpath),
    "os.path.relpath": _on_text(os.path.relpath),
    "os.path.exists": _test_path(Path.exists),
    "os.path.isfile": _test_path(Path.is_file),
    "os.path.isdir": _test_path(Path.is_dir),
    "os.listdir": _test_path(_names_in),
    "os.walk": _walk,
    "glob.glob": _glob,
    "pathlib.Path": _path,
    "pathlib.PurePath": _path,
    "json.load": _json_load,
    "json.loads": _json_loads,
    "importlib.import_module": import_module,
    "importlib.util.spec_from_file_location": _spec,
    "importlib.util.module_from_spec": _given,
    "pkgutil.iter_modules": _iter_modules,
    "pkgutil.walk_packages": _iter_modules,
}
