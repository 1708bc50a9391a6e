"""Takes single packs in anew while the host runs: one under development, one just linked or taken out.

A pack's modules are dropped and imported again. What fails leaves the old modules, and the old nodes, in use.
`nodes pack dev` appends a line to `user/packs-changed` for each change; `changes` reads them.
"""

import importlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType

from noderack_host.packs import (
    LINKED,
    Building,
    Contents,
    PackFailure,
    Packs,
    found_packs,
    is_named,
    key_of,
    load_here,
    ordered,
)

CHANGED = "packs-changed"
LINKS = f"_{LINKED}*.pth"
SHARED = "custom_nodes"  # the folder below which packs' own packages stand


@dataclass(frozen=True, slots=True)
class Reloaded:
    """All packs after a reload. `node_types` are those whose code may be another now, or that are gone."""

    packs: Packs
    reloaded: tuple[str, ...]
    failures: tuple[PackFailure, ...]
    node_types: frozenset[str]
    seconds: float


def reload_packs(
    packs: Packs,
    names: Collection[str],
    entry_points: Iterable[metadata.EntryPoint] | None = None,
    load: Callable[[metadata.EntryPoint], Contents] = load_here,
) -> Reloaded:
    """Imports the packs in `names` (by pack or distribution name) again, and leaves all others as they are.

    One that is new is loaded, one that is no longer installed goes. One that fails stays as it was, and the
    failure is told. To be called while no node runs.
    """
    start = time.perf_counter()
    if entry_points is None:
        take_in_links()
        entry_points = found_packs()
    fresh = _Fresh(packs, names, load)
    for point in ordered(entry_points):
        fresh.take(point)
    return fresh.done(time.perf_counter() - start)


class _Fresh:
    """Goes through the installed packs: those asked for are imported, the others kept."""

    def __init__(
        self, packs: Packs, names: Collection[str], load: Callable[[metadata.EntryPoint], Contents]
    ) -> None:
        self._before = packs
        self._names = names
        self._old = {(pack.distribution, pack.name): pack for pack in packs.packs}
        self._building = Building(lambda point: _anew(point, load))
        self._building.failures.extend(
            failure for failure in packs.failures if not is_named((failure.distribution, failure.pack), names)
        )
        self._kept_failures = len(self._building.failures)
        self._reloaded: list[str] = []
        self._installed: set[tuple[str, str]] = set()

    def take(self, point: metadata.EntryPoint) -> None:
        key = key_of(point)
        self._installed.add(key)
        old = self._old.get(key)
        if is_named(key, self._names) and self._building.load(point):
            self._reloaded.append(point.name)
        elif old is not None:
            self._building.keep(old, self._before.contents[key])

    def done(self, seconds: float) -> Reloaded:
        for key, pack in self._old.items():  # installed or not: only those asked for change
            if key not in self._installed and not is_named(key, self._names):
                self._building.keep(pack, self._before.contents[key])
        packs = self._building.done()
        new = tuple(self._building.failures[self._kept_failures :])
        touched = set(self._reloaded)
        kinds = {kind for pack in packs.packs if pack.name in touched for kind in pack.node_types}
        was = {kind for pack in self._before.packs if pack.name in touched for kind in pack.node_types}
        gone = set(self._before.nodes) - set(packs.nodes)
        return Reloaded(packs, tuple(self._reloaded), new, frozenset(kinds | was | gone), seconds)


def _anew(point: metadata.EntryPoint, load: Callable[[metadata.EntryPoint], Contents]) -> Contents:
    """Imports a pack with none of its modules known; puts the known ones back when that fails."""
    dropped = drop(point.module)
    importlib.invalidate_caches()
    try:
        return load(point)
    except BaseException:  # pack code: put back, and passed on
        drop(point.module)
        for name, module in dropped.items():
            sys.modules[name] = module
            _hang(name, module)
        raise


def drop(module: str) -> dict[str, ModuleType]:
    """Forgets a pack's modules, and their byte code (an edit within a second looks the same); gives them."""
    root = package_of(module)
    folder = _folder(sys.modules.get(root))
    dropped = {
        name: found
        for name, found in list(sys.modules.items())
        if name == root or name.startswith(f"{root}.") or _lies_in(found, folder)
    }
    for name, found in dropped.items():
        del sys.modules[name]
        if file := getattr(found, "__file__", None):
            with suppress(OSError, ValueError, NotImplementedError):
                Path(importlib.util.cache_from_source(file)).unlink(missing_ok=True)
    return dropped


def package_of(module: str) -> str:
    """The package that is a pack's own: its top one, or the one below the folder that packs share."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == SHARED else 1])


def _folder(module: ModuleType | None) -> Path | None:
    """A package's own folder; None for one that shares its folder with others."""
    if module is None or not hasattr(module, "__path__") or getattr(module, "__file__", None) is None:
        return None
    return Path(str(module.__file__)).resolve().parent


def _lies_in(module: ModuleType | None, folder: Path | None) -> bool:
    file = getattr(module, "__file__", None)
    if folder is None or not isinstance(file, str) or folder.name not in file:
        return False
    return Path(file).resolve().is_relative_to(folder)


def _hang(name: str, module: ModuleType) -> None:
    """Makes a module an attribute of its package again."""
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)


def take_in_links() -> None:
    """Puts the folders of working copies that were linked meanwhile on this process's search path."""
    for folder in list(sys.path):
        for file in sorted(Path(folder).glob(LINKS)) if folder else ():
            root = file.read_text("utf-8").splitlines()[0].removeprefix("# ")
            if root not in sys.path:
                sys.path.insert(sys.path.index(folder), root)
    importlib.invalidate_caches()


def tell_change(file: Path, pack: str) -> None:
    """Appends a line that says that a pack changed; starts over when the file has grown long."""
    file.parent.mkdir(parents=True, exist_ok=True)
    mode = "w" if file.exists() and file.stat().st_size > 64_000 else "a"
    with file.open(mode, encoding="utf-8") as lines:
        lines.write(json.dumps({"pack": pack, "time": time.time()}) + "\n")


def changes(file: Path, position: int) -> tuple[tuple[str, ...], int]:
    """The packs told since `position` (bytes), and the position to ask from next."""
    try:
        size = file.stat().st_size
        with file.open("rb") as lines:
            lines.seek(position if position <= size else 0)
            found = lines.read()
    except FileNotFoundError:
        return (), 0
    whole = found[: found.rfind(b"\n") + 1]
    start = position if position <= size else 0
    names = [json.loads(line)["pack"] for line in whole.splitlines() if line.strip()]
    return tuple(dict.fromkeys(names)), start + len(whole)
