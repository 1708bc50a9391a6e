"""nodes.lock: a PEP 751 lock of packs and distributions with hashes, and [tool.noderack] for the rest.

`lock_of` is a function from a generation and the registry's answers to data; `text` and `read` are the file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from noderack_registry.schema import ModelManifest, Source

from noderack_cli.errors import BadInput
from noderack_cli.generations import Generation, InstalledPack
from noderack_cli.installed import Installed, installed, torch_backend
from noderack_cli.model_files import Index, digest, model_files
from noderack_cli.own_wheels import own_args
from noderack_cli.reasons import Needs
from noderack_cli.uv_tool import cache_for, index_args
from noderack_cli.wheels import LOCK_VERSION, Wheel, locate

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class Locked:
    """One locked distribution; `pack` when it brings nodes, `host` when it came with the environment."""

    name: str
    version: str
    wheels: tuple[Wheel, ...] = ()
    pack: bool = False
    host: bool = False
    node_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lock:
    """All of a host that can be built again: distributions, models, the registry they came from."""

    packages: tuple[Locked, ...] = ()
    models: tuple[ModelManifest, ...] = ()
    registry: str | None = None
    requires_python: str = field(
        default_factory=lambda: f">={sys.version_info.major}.{sys.version_info.minor}"
    )

    @property
    def without_hash(self) -> list[str]:
        """What packs brought and no index tells the hash of: it cannot be built again from this lock."""
        return [one.name for one in self.packages if not one.wheels and not one.host]


def lock_of(host: Host, generation: Generation, registry: str | None) -> Lock:
    """The lock of a generation: each distribution with the hashes that the indexes tell for its version."""
    have, ours = installed(generation.path), brought(generation)
    wheels = _located(host, generation, registry, have, ours)
    packages = [
        Locked(
            name,
            one.version,
            _as_installed(generation.packs.get(name), wheels.get(name, ())),
            name in generation.packs and name in ours,
            name not in ours,
            generation.packs[name].node_types if name in generation.packs else (),
        )
        for name, one in sorted(have.items())
    ]
    return Lock(tuple(packages), _models(host), host.config.registry)


def _located(
    host: Host,
    generation: Generation,
    registry: str | None,
    have: Mapping[str, Installed],
    ours: Collection[str],
) -> dict[str, tuple[Wheel, ...]]:
    """The wheels of what packs brought, and of the host's own where an index beside the registry may know."""
    from_folders = {name for name, one in have.items() if (one.info / "direct_url.json").is_file()}
    pins = {name: one.version for name, one in have.items() if name not in from_folders}
    if host.config.python_index == "none":
        pins = {name: version for name, version in pins.items() if name in ours}
    indexes = [*index_args(registry, host.config.python_index), *own_args()]
    backend = torch_backend(have)
    args = ["--torch-backend", backend] if backend else []
    return locate(pins, generation.python, indexes, cache_for(host.root), args)


def _as_installed(pack: InstalledPack | None, wheels: tuple[Wheel, ...]) -> tuple[Wheel, ...]:
    """Of a pack the wheel that was installed, by its hash or as the file that was given."""
    if pack is None or pack.origin == "host":
        return wheels
    file = Path(pack.origin)
    if pack.origin != "registry" and file.is_file():
        return (Wheel(file.name, str(file), pack.sha256 or digest(file), file.stat().st_size),)
    return tuple(wheel for wheel in wheels if pack.sha256 in (None, wheel.sha256))


def brought(generation: Generation) -> set[str]:
    """What packs brought: themselves and what they need that the host does not."""
    needs = Needs.of(generation.path)
    packs = {name for name, pack in generation.packs.items() if pack.origin != "host" and not pack.disabled}
    found = set(packs)
    for name in packs:
        found |= set(needs.orphans_without(name, frozenset()))
    return found


def _models(host: Host) -> tuple[ModelManifest, ...]:
    """The model files of models/ and of the folders elsewhere, each once; those that were saved here not."""
    index, folders = Index.open(host), ModelFolders.of(host)
    places: dict[Path, tuple[str, str]] = {}
    for path in model_files(host):
        if path.is_relative_to(host.models):
            folder, *rest = path.relative_to(host.models).parts
            places[path] = folder, "/".join(rest)
    for category in folders.categories:
        for name in folders.files(category):
            found = folders.find(category, name)
            if found is not None and not found.is_relative_to(host.output):
                places.setdefault(found, (category, name.replace("\\", "/")))
    return tuple(
        ModelManifest(name, folder, known.sha256, known.size)
        for path, (folder, name) in places.items()
        if (known := index.known.get(str(path))) is not None
    )


def text(lock: Lock) -> str:
    """The file, valid by PEP 751: `packages` have wheels, what has none is in [tool.noderack] host."""
    packages = [
        {
            "name": p.name,
            "version": p.version,
            "wheels": [wheel.row() for wheel in p.wheels],
            "tool": {"noderack": _about(p)},
        }
        for p in lock.packages
        if p.wheels
    ]
    host = [{"name": p.name, "version": p.version} for p in lock.packages if p.host and not p.wheels]
    ours = {"host": host, "models": [_model_row(model) for model in lock.models]}
    data = {
        "lock-version": LOCK_VERSION,
        "created-by": "noderack",
        "requires-python": lock.requires_python,
        "packages": packages,
        "tool": {"noderack": ours | ({"registry": lock.registry} if lock.registry else {})},
    }
    return tomli_w.dumps(data)


def _about(package: Locked) -> dict[str, Any]:
    kind = "host" if package.host else "pack" if package.pack else "distribution"
    return {"kind": kind, **({"node-types": list(package.node_types)} if package.node_types else {})}


def _model_row(model: ModelManifest) -> dict[str, Any]:
    row: dict[str, Any] = {
        "folder": model.folder,
        "name": model.name,
        "sha256": model.sha256,
        "size": model.size,
    }
    sources = [source.url for source in model.sources]
    return {**row, **({"sources": sources} if sources else {})}


def read(content: str, where: str) -> Lock:
    """The lock in a file's text; raises BadInput with the place."""
    try:
        data = tomllib.loads(content)
        if not re.match(r"1\.", str(data.get("lock-version"))):
            raise BadInput(f"{where}: lock-version is {data.get('lock-version')!r}, this reads 1.x")
        ours = data.get("tool", {}).get("noderack", {})
        own = [{**row, "tool": {"noderack": {"kind": "host"}}} for row in ours.get("host", ())]
        return Lock(
            tuple(_locked(row) for row in (*data["packages"], *own)),
            tuple(_model(row) for row in ours.get("models", ())),
            ours.get("registry"),
            str(data.get("requires-python", "")),
        )
    except tomllib.TOMLDecodeError as cause:
        raise BadInput(f"{where} is not TOML: {cause}") from cause
    except (KeyError, TypeError, AttributeError, ValueError) as cause:
        raise BadInput(f"{where} is not a lock: {cause!r} is missing or wrong") from cause


def _locked(row: Mapping[str, Any]) -> Locked:
    about = row.get("tool", {}).get("noderack", {})
    wheels = tuple(Wheel.of(wheel) for wheel in row.get("wheels", ()))
    kind = about.get("kind")
    types: Sequence[str] = about.get("node-types", ())
    return Locked(
        str(row["name"]), str(row["version"]), wheels, kind == "pack", kind == "host", tuple(map(str, types))
    )


def _model(row: Mapping[str, Any]) -> ModelManifest:
    sources = tuple(Source("url", str(url)) for url in row.get("sources", ()))
    return ModelManifest(str(row["name"]), str(row["folder"]), row.get("sha256"), row.get("size"), sources)
