"""Functions from outside the pack whose results syntax can tell; all others give something Foreign."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from noderack_registry.packing.syntax.call import Call, Handler
from noderack_registry.packing.syntax.known_files import FILES, import_module, open_file
from noderack_registry.packing.syntax.known_python import BUILTINS, LIBRARY, PURE
from noderack_registry.packing.syntax.values import UNKNOWN, Foreign, Module, known

OWN: dict[str, Handler] = {**BUILTINS, "open": open_file, "__import__": import_module}
OUTSIDE: dict[str, Handler] = {**LIBRARY, **FILES}


def builtin(name: str, call: Call) -> Any:
    """A call of a name that Python has by itself."""
    if name in OWN:
        return OWN[name](call)
    if name in PURE and known(call.args) and known(call.kwargs):
        try:
            return PURE[name](*call.args, **call.kwargs)
        except Exception:  # the pack's own call would raise
            return UNKNOWN
    return Foreign(f"{name}()") if name in PURE else UNKNOWN


def foreign(path: str, call: Call) -> Any:
    """A call of something from outside the pack."""
    if path in OUTSIDE:
        return OUTSIDE[path](call)
    if path.endswith("nodes.NODE_CLASS_MAPPINGS.update"):
        call.reader.update(call.program.host_table, call.args, call.kwargs, call.node, call.scope)
        return None
    if path.endswith(".exec_module") and isinstance(call.first, Module):
        call.program.load(call.first)
        return None
    if path.startswith("sys.path."):
        _search_path(call)
        return None
    return Foreign(f"{path}()", tuple(call.args), call.kwargs)


def _search_path(call: Call) -> None:
    """Folders of the pack that it adds to the search path; it then imports its own modules by bare names."""
    last = call.args[-1] if call.args else None
    for value in last if isinstance(last, list | tuple) else [last]:
        if isinstance(value, str | Path):
            folder = Path(os.path.normpath(value))
            if folder.is_relative_to(call.program.root) and folder not in call.program.paths:
                call.program.paths.append(folder)
