"""Finds packs by their entry points and loads their nodes; a pack that fails becomes data, never a crash.

An entry point's value is a module with NODE_CLASS_MAPPINGS, such a mapping itself, a V3 extension (or the
function `comfy_entrypoint` that gives one), or a module of functions marked with `@node`.
"""

import inspect
import re
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from noderack_host import native
from noderack_host.contract import ContractError, is_v3, schema_of
from noderack_host.known_types import make_known
from noderack_host.lane import finish
from noderack_host.prestart import before_start
from noderack_host.schema import NodeSchema

GROUPS = ("noderack.packs", "comfyui.custom_nodes")
OWN_DISTRIBUTION = "noderack"
LINKED = "noderack_dev_"  # how the distributions of working copies are named that `nodes pack dev` linked


class NoNodes(Exception):
    """An entry point that leads to nothing with nodes in it."""


@dataclass(frozen=True, slots=True)
class PackFailure:
    """A pack, or one node type of it, that could not be loaded: what happened, and where in its code."""

    pack: str
    distribution: str
    version: str
    cause: str
    node_type: str | None = None
    trace: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class LoadedPack:
    """A pack that was imported: the node types it brought, how long it took, where its web files are."""

    name: str
    distribution: str
    version: str
    node_types: tuple[str, ...]
    seconds: float
    web_directory: Path | None = None
    module: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON form, with the web directory as text."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {**found, "node_types": list(self.node_types), "web_directory": _text(self.web_directory)}


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two packs bring the same node type; `kept` is the pack whose node is used."""

    node_type: str
    kept: str
    dropped: str


@dataclass(frozen=True, slots=True)
class Packs:
    """All that was loaded. `modules` is the `python_module` of each node type, as editors group them."""

    nodes: Mapping[str, Any]
    display_names: Mapping[str, str]
    failures: tuple[PackFailure, ...]
    packs: tuple[LoadedPack, ...]
    conflicts: tuple[Conflict, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    contents: "Mapping[tuple[str, str], Contents]" = field(default_factory=dict, repr=False)

    def schema(self, node_type: str) -> NodeSchema:
        """The node type as data, read anew; raises KeyError, ContractError."""
        return schema_of(
            node_type, self.nodes[node_type], self.display_names.get(node_type), self.modules.get(node_type)
        )

    def versions(self) -> dict[str, str]:
        """{node type: distribution and version of its code}: results of another version are not used."""
        return {
            node_type: f"{pack.distribution}=={pack.version}"
            for pack in self.packs
            for node_type in pack.node_types
        }

    def schemas(self) -> tuple[dict[str, NodeSchema], tuple[PackFailure, ...]]:
        """Every node type as data; those that break the contract come as failures instead."""
        found: dict[str, NodeSchema] = {}
        broken: list[PackFailure] = []
        for node_type in self.nodes:
            try:
                found[node_type] = self.schema(node_type)
            except ContractError as cause:
                owner = self.owner(node_type)
                broken.append(
                    PackFailure(owner.name, owner.distribution, owner.version, str(cause), node_type)
                )
        return found, tuple(broken)

    def owner(self, node_type: str) -> LoadedPack:
        """The pack whose node is used for this type; raises KeyError."""
        for pack in reversed(self.packs):
            if node_type in pack.node_types and not self._lost(node_type, pack.name):
                return pack
        raise KeyError(node_type)

    def _lost(self, node_type: str, pack: str) -> bool:
        return any(clash.node_type == node_type and clash.dropped == pack for clash in self.conflicts)


@dataclass(frozen=True, slots=True)
class Contents:
    """What one entry point leads to."""

    nodes: Mapping[str, Any]
    display_names: Mapping[str, str]
    web_directory: Path | None
    module: str


def load_packs(
    entry_points: Iterable[metadata.EntryPoint] | None = None,
    only: Collection[str] | None = None,
    load: "Callable[[metadata.EntryPoint], Contents] | None" = None,
) -> Packs:
    """Imports every installed pack, or those named in `only` (by pack or distribution name), ours first.

    `load` gives a pack's contents; unless said, by importing it here.

    A later pack's node replaces an earlier one's of the same type, but never one of ours.
    """
    building = Building(load or load_here)
    for point in ordered(_found(only) if entry_points is None else entry_points):
        if only is None or is_named(key_of(point), only):
            building.load(point)
    return building.done()


def is_named(key: tuple[str, str], names: Collection[str]) -> bool:
    """Whether a pack is among `names`, by its own name or its distribution's, however they are spelled."""
    return not {_normal(name) for name in names}.isdisjoint(map(_normal, key))


def load_here(point: metadata.EntryPoint) -> Contents:
    """A pack's contents, imported into this process after its prestartup_script.py, if it has one."""
    before_start(point.module)
    return contents_of(point.load(), point.module)


def found_packs() -> list[metadata.EntryPoint]:
    """The entry points of all installed packs; a pack that is in both groups counts once.

    A linked working copy stands in for the installed wheel of the same pack.
    """
    found = metadata.entry_points()
    return _once(point for group in GROUPS for point in found.select(group=group))


def _found(only: Collection[str] | None) -> list[metadata.EntryPoint]:
    """The packs to load: where each is named by its distribution, the metadata of others are not read."""
    named = [_points_of(name) for name in only or ()]
    if only and all(named):
        return _once(point for points in named for point in points)
    return found_packs()


def _points_of(distribution: str) -> list[metadata.EntryPoint]:
    try:
        points = metadata.distribution(distribution).entry_points
    except (metadata.PackageNotFoundError, ValueError):
        return []
    return [point for group in GROUPS for point in points if point.group == group]


def _once(points: Iterable[metadata.EntryPoint]) -> list[metadata.EntryPoint]:
    by_value: dict[tuple[str, str], metadata.EntryPoint] = {}
    for point in points:
        by_value.setdefault((_distribution(point)[0], point.value), point)
    linked = {value for distribution, value in by_value if distribution.startswith(LINKED)}
    return [
        point
        for (distribution, value), point in by_value.items()
        if value not in linked or distribution.startswith(LINKED)
    ]


def contents_of(value: Any, default_module: str = "") -> Contents:
    """The nodes that an entry point's value leads to; raises NoNodes, and whatever the pack raises."""
    names: dict[str, str] = {}
    nodes: dict[str, Any] = {}
    module = value if isinstance(value, ModuleType) else None
    mapping = getattr(value, "NODE_CLASS_MAPPINGS", None) if module else value
    if isinstance(mapping, Mapping):
        nodes.update({str(key): _node_class(item) for key, item in mapping.items()})
    elif module is None and not isinstance(value, Mapping):
        nodes.update(_extension_nodes(value))
    elif callable(entry_point := getattr(module, "comfy_entrypoint", None)):
        nodes.update(_extension_nodes(entry_point))
    nodes.update(_marked_nodes(module, nodes))
    if not nodes:
        raise NoNodes("it brings no nodes: no NODE_CLASS_MAPPINGS, no comfy_entrypoint, no @node function")
    names.update({key: name for key, cls in nodes.items() if (name := getattr(cls, "DISPLAY_NAME", None))})
    names.update(getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", None) or {})
    return Contents(nodes, names, _web_directory(module), module.__name__ if module else default_module)


def _node_class(item: Any) -> Any:
    return native.class_of(item) if native.is_node(item) else item


def _marked_nodes(module: ModuleType | None, known: Mapping[str, Any]) -> dict[str, Any]:
    if module is None:
        return {}
    marked = [item for item in vars(module).values() if native.is_node(item)]
    return {
        native.type_name(item): native.class_of(item)
        for item in marked
        if native.type_name(item) not in known
    }


def _extension_nodes(value: Any) -> dict[str, Any]:
    """The nodes of a V3 extension: an instance, its class, or a (maybe async) function that gives one."""
    if not callable(value) and not hasattr(value, "get_node_list"):
        raise NoNodes(f"it leads to {value!r}, which holds no nodes")
    extension = value if hasattr(value, "get_node_list") and not inspect.isclass(value) else finish(value())
    if not hasattr(extension, "get_node_list"):
        raise NoNodes(f"it gave {extension!r}, expected an extension with get_node_list()")
    if hasattr(extension, "on_load"):
        finish(extension.on_load())
    return dict(map(_listed, finish(extension.get_node_list())))


def _listed(cls: Any) -> tuple[str, Any]:
    """A listed class by its node type; one of the older form may be there too, if its schema names it."""
    schema = getattr(cls, "GET_SCHEMA", None)
    if not is_v3(cls) and not (callable(schema) and hasattr(cls, "FUNCTION")):
        raise NoNodes(f"get_node_list() gave {cls!r}, which is no io.ComfyNode")
    return str(cls.GET_SCHEMA().node_id), cls


def _web_directory(module: ModuleType | None) -> Path | None:
    relative = getattr(module, "WEB_DIRECTORY", None)
    file = getattr(module, "__file__", None)
    if not isinstance(relative, str) or not file:
        return None
    folder = (Path(file).parent / relative).resolve()
    return folder if folder.is_dir() else None


class Building:
    """Takes packs in one by one; who brought which node type is what decides about the next."""

    def __init__(self, load: Callable[[metadata.EntryPoint], Contents]) -> None:
        self._load = load
        self.nodes: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        self.modules: dict[str, str] = {}
        self.owners: dict[str, LoadedPack] = {}
        self.packs: list[LoadedPack] = []
        self.failures: list[PackFailure] = []
        self.conflicts: list[Conflict] = []
        self.contents: dict[tuple[str, str], Contents] = {}

    def load(self, point: metadata.EntryPoint) -> bool:
        """Loads a pack; whether that went well."""
        distribution, version = _distribution(point)
        start = time.perf_counter()
        try:
            contents = self._load(point)
        except (Exception, SystemExit) as cause:  # pack code: kept as data
            told = f"{type(cause).__name__}: {cause}"
            trace = "".join(traceback.format_exception(cause))
            self.failures.append(PackFailure(point.name, distribution, version, told, trace=trace))
            return False
        seconds = time.perf_counter() - start
        types = tuple(contents.nodes)
        pack = LoadedPack(
            point.name, distribution, version, types, seconds, contents.web_directory, contents.module
        )
        self.keep(pack, contents)
        return True

    def keep(self, pack: LoadedPack, contents: Contents) -> None:
        """Takes in a pack that is loaded already."""
        self.packs.append(pack)
        self.contents[pack.distribution, pack.name] = contents
        self.names.update(contents.display_names)
        for node_type, cls in contents.nodes.items():
            self._add(pack, node_type, cls)
        self._make_known(pack, contents)

    def _make_known(self, pack: LoadedPack, contents: Contents) -> None:
        """Tells the packs that look up others' nodes, all of those that came before them too."""
        used = {key: cls for key, cls in contents.nodes.items() if self.owners[key] is pack}
        make_known(used, contents.display_names, own=pack.distribution == OWN_DISTRIBUTION)

    def _add(self, pack: LoadedPack, node_type: str, cls: Any) -> None:
        owner = self.owners.get(node_type)
        if owner is not None and owner.distribution == OWN_DISTRIBUTION:
            self.conflicts.append(Conflict(node_type, owner.name, pack.name))
            return
        if owner is not None:
            self.conflicts.append(Conflict(node_type, pack.name, owner.name))
        self.owners[node_type] = pack
        self.nodes[node_type] = cls
        core = pack.distribution == OWN_DISTRIBUTION
        self.modules[node_type] = "nodes" if core else f"custom_nodes.{pack.name}"

    def done(self) -> Packs:
        for pack in self.packs:  # the table itself comes with the first pack that looks into it
            self._make_known(pack, self.contents[pack.distribution, pack.name])
        return Packs(
            self.nodes,
            {name: self.names[name] for name in self.nodes if name in self.names},
            tuple(self.failures),
            tuple(self.packs),
            tuple(self.conflicts),
            self.modules,
            self.contents,
        )


def ordered(points: Iterable[metadata.EntryPoint]) -> list[metadata.EntryPoint]:
    key: Callable[[metadata.EntryPoint], tuple[bool, str, str]] = lambda point: (
        _distribution(point)[0] != OWN_DISTRIBUTION,
        _normal(_distribution(point)[0]),
        point.name,
    )
    return sorted(points, key=key)


def key_of(point: metadata.EntryPoint) -> tuple[str, str]:
    """What tells a pack from all others: its distribution and its own name in that."""
    return _distribution(point)[0], point.name


def _distribution(point: metadata.EntryPoint) -> tuple[str, str]:
    found = getattr(point, "dist", None)
    return _name_and_version(found) if found is not None else (point.name, "")


@lru_cache(1000)
def _name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    """Read once: the standard library reads and parses all metadata for each of the two, each time."""
    told = distribution.metadata
    return told["Name"], told["Version"]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
