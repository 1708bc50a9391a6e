"""How an untouched pack's tree lies in a wheel: a package below `custom_nodes`, every file in its place."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noderack_registry.packing.errors import NoNodes
from noderack_registry.packing.source import Source
from noderack_registry.packing.wheel import Entry

# The folder that packs are used to lie in. It has no __init__.py: all wheels share it as a namespace.
PARENT = "custom_nodes"
GROUPS = ("noderack.packs", "comfyui.custom_nodes")
MARKS = ("NODE_CLASS_MAPPINGS", "comfy_entrypoint")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tree goes, and which of its files hosts import: (file in the source, module in the wheel)."""

    prefix: str
    modules: tuple[tuple[str, str], ...]

    def entries(self, source: Source) -> dict[str, Entry]:
        """The wheel's files."""
        found: dict[str, Entry] = {}
        alone, module = self.modules[0] if self.prefix == PARENT else ("", "")  # its name may be no module's
        for path in source.files:
            file = source.root / path
            executable = bool(file.stat().st_mode & 0o111) and file.suffix != ".py"
            place = f"{module.replace('.', '/')}.py" if path == alone else f"{self.prefix}/{path}"
            found[place] = Entry(file.read_bytes(), executable)
        return found


def identifier(folder: str) -> str:
    """A folder's name as a module name: `ComfyUI-KJNodes` becomes `ComfyUI_KJNodes`."""
    name = re.sub(r"\W", "_", folder)
    return f"_{name}" if not name or name[0].isdigit() or keyword.iskeyword(name) else name


def lay_out(source: Source) -> Layout:
    """Finds what a host has to import; raises NoNodes when there is nothing."""
    alone = len(source.files) == 1 and "/" not in source.files[0]
    if alone and source.files[0] != "__init__.py":
        file = source.files[0]
        return Layout(PARENT, ((file, f"{PARENT}.{identifier(Path(file).stem)}"),))
    prefix = f"{PARENT}/{identifier(source.folder)}"
    base = prefix.replace("/", ".")
    if "__init__.py" in source.files:
        return Layout(prefix, (("__init__.py", base),))
    marked = [f for f in source.files if f.endswith(".py") and _marked(source.root / f)]
    top = [f for f in marked if "/" not in f] or [f for f in marked if f.endswith("/__init__.py")]
    if not top:
        raise NoNodes(
            f"{source.shown} has no __init__.py, and no file that sets NODE_CLASS_MAPPINGS",
            "give the folder that holds the pack's __init__.py",
        )
    shallow = min(f.count("/") for f in top)
    return Layout(prefix, tuple((f, _module(base, f)) for f in top if f.count("/") == shallow))


def source_modules(source: Source, table: Mapping[str, Any]) -> list[str]:
    """The files that a host imports: those that pyproject.toml names, else those that are found."""
    points = table.get("project", {}).get("entry-points", {})
    named = [str(value) for group in GROUPS for value in points.get(group, {}).values()]
    bases = [value.partition(":")[0].strip().replace(".", "/") for value in named]
    wanted = [
        f"{top}{base}{end}" for base in bases for top in ("", "src/") for end in ("/__init__.py", ".py")
    ]
    files = [file for file in dict.fromkeys(wanted) if file in source.files]
    library = table.get("tool", {}).get("noderack", {}).get("library") is True
    return files if files or library else [file for file, _ in lay_out(source).modules]


def _module(base: str, file: str) -> str:
    parts = Path(file).with_suffix("").parts
    return ".".join((base, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _marked(file: Path) -> bool:
    """Whether a file sets, imports or defines one of the names that a host looks for."""
    text = file.read_text("utf-8", "replace")
    if not any(mark in text for mark in MARKS):
        return False
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return True  # broken, but meant to be one
    names = (n.id if isinstance(n, ast.Name) else getattr(n, "name", "") for n in ast.walk(tree))
    return any(name in MARKS for name in names)


def entry_points(name: str, layout: Layout) -> bytes:
    """entry_points.txt: each module under our group and under the one that others read."""
    lines: Mapping[str, str] = {
        name if len(layout.modules) == 1 else f"{name}-{Path(file).stem}": module
        for file, module in layout.modules
    }
    section = "\n".join(f"{key} = {value}" for key, value in lines.items())
    return f"[comfyui.custom_nodes]\n{section}\n\n[noderack.packs]\n{section}\n".encode()


def linked_modules(root: Path, table: Mapping[str, Any]) -> tuple[tuple[str, ...], Path | None]:
    """How a working copy is imported in place: its modules, and the folder they are found in.

    The folder is None for an untouched pack, whose tree has to stand below `custom_nodes`.
    """
    points = table.get("project", {}).get("entry-points", {})
    named = [str(v).partition(":")[0].strip() for group in GROUPS for v in points.get(group, {}).values()]
    if named:
        top = root / "src" if (root / "src").is_dir() else root
        return tuple(dict.fromkeys(named)), top
    return (f"{PARENT}.{identifier(root.name)}",), None
