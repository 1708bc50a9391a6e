"""Moves a running process from one generation of its environment to the next, where that is safe.

Safe means: everything that this process has imported is the same, to the byte, in the next generation. Then
only the search path changes, and what is new can be imported. Generations share unchanged files by hard
links, so that most comparisons are of two numbers.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

from noderack_host.folder import Host

TOLD = 5  # how many of the things that differ a reason names
FOREIGN_PATHS = "*.pth"
OWN_PATHS = "_noderack_dev_"  # links to working copies: taken in by `reload`


def in_use(host: Host) -> tuple[int | None, Path]:
    """The number and folder of the generation that `env` leads to; no number where it leads elsewhere."""
    try:
        root = Path(os.path.realpath(host.env))
    except OSError:
        return None, host.env
    inside = root.parent == Path(os.path.realpath(host.generations)) and root.name.isdigit()
    return (int(root.name) if inside else None), root


def libraries(root: Path) -> tuple[Path, ...]:
    """The folders of an environment that modules are imported from."""
    found = [root / "Lib" / "site-packages"] if os.name == "nt" else root.glob("lib/python3.*/site-packages")
    return tuple(sorted(path for path in found if path.is_dir()))


def obstacles(old: Path, new: Path, modules: Mapping[str, ModuleType | None] | None = None) -> list[str]:
    """Why this process cannot go on with `new`: the imported modules and distributions that differ there."""
    loaded = _files(sys.modules if modules is None else modules, old)
    differing = {name.partition(".")[0] for name, path in loaded.items() if not _same(path, old, new)}
    files = {os.path.realpath(path) for path in loaded.values()}
    for library in libraries(old):
        differing |= set(_changed_distributions(library, old, new, files))
        differing |= set(_changed_paths(library, old, new))
    return sorted(differing)


def reason(names: Iterable[str]) -> str:
    """The obstacles in one sentence."""
    every = list(names)
    more = f" and {len(every) - TOLD} more" if len(every) > TOLD else ""
    return f"already loaded, and other in the new generation: {', '.join(every[:TOLD])}{more}"


def move(old: Path, new: Path) -> None:
    """From now on this process imports from `new` what it would have imported from `old`."""
    sys.path[:] = [_moved(path, old, new) for path in sys.path]
    for module in list(sys.modules.values()):
        paths = getattr(module, "__path__", None)
        if isinstance(paths, list):
            paths[:] = [_moved(path, old, new) for path in paths]
    importlib.invalidate_caches()


def _files(modules: Mapping[str, ModuleType | None], root: Path) -> dict[str, str]:
    start = (f"{root}{os.sep}", f"{os.path.realpath(root)}{os.sep}")
    found = {name: getattr(module, "__file__", None) for name, module in list(modules.items())}
    return {name: file for name, file in found.items() if isinstance(file, str) and file.startswith(start)}


def _same(file: str | Path, old: Path, new: Path) -> bool:
    """Whether the file of `old` is in `new` with the same bytes."""
    here, there = Path(file), Path(_moved(str(file), old, new))
    try:
        if here.samefile(there):
            return True
        return here.stat().st_size == there.stat().st_size and here.read_bytes() == there.read_bytes()
    except OSError:
        return False


def _changed_distributions(library: Path, old: Path, new: Path, loaded: set[str]) -> Iterator[str]:
    """Distributions that are other in `new` and of which a file is loaded: the rest of them would not fit."""
    for info in library.glob("*.dist-info"):
        record = info / "RECORD"
        if record.is_file() and not _same(record, old, new):
            lines = record.read_text("utf-8", "replace").splitlines()
            names = [line.rsplit(",", 2)[0].strip('"') for line in lines]
            code = [library / name for name in names if name.endswith((".py", ".so", ".pyd"))]
            if any(os.path.realpath(file) in loaded for file in code):
                yield info.name.removesuffix(".dist-info")


def _changed_paths(library: Path, old: Path, new: Path) -> Iterator[str]:
    """Path files that are other in `new`: what they do is done when a process starts."""
    there = Path(_moved(str(library), old, new))
    names = {path.name for folder in (library, there) for path in folder.glob(FOREIGN_PATHS)}
    for name in sorted(names):
        if OWN_PATHS in name:
            continue
        if not (library / name).is_file() or not _says_the_same(library / name, old, new):
            yield name


def _says_the_same(file: Path, old: Path, new: Path) -> bool:
    """A clone's path files name the clone: that is no difference."""
    there = Path(_moved(str(file), old, new))
    try:
        return there.read_text("utf-8") == file.read_text("utf-8").replace(str(old), str(new))
    except OSError:
        return False


def _moved(path: str, old: Path, new: Path) -> str:
    for root in (str(old), os.path.realpath(old)):
        if path == root or path.startswith(root + os.sep):
            return f"{new}{path[len(root) :]}"
    return path
