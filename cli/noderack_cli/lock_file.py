"""nodes.lock: a PEP 751 lock of packs and distributions with hashes, and [tool.noderack] for the rest.

`lock_of` is a function from a generation and the registry's answers to data; `text` and `read` are the file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tomli_w
from noderack_host.folder import Host
from noderack_registry.client import NotFound, RegistryClient
from noderack_registry.schema import ModelManifest, Source

from noderack_cli.errors import BadInput
from noderack_cli.generations import Generation, InstalledPack
from noderack_cli.installed import installed
from noderack_cli.model_files import Index, model_files
from noderack_cli.reasons import Needs

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCK_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class LockedWheel:
    """One wheel of a locked distribution: where it was had, and what it must hash to."""

    name: str
    url: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Locked:
    """One locked distribution; `pack` when it brings nodes, `host` when it came with the environment."""

    name: str
    version: str
    wheels: tuple[LockedWheel, ...] = ()
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


def lock_of(host: Host, generation: Generation, client: RegistryClient | None) -> Lock:
    """The lock of a generation. Packs and libraries of the registry get their hashes from it."""
    have = installed(generation.path)
    brought = _brought(generation)
    packages = []
    for name, one in sorted(have.items()):
        pack = generation.packs.get(name)
        ours = name in brought
        wheels = _wheels(client, name, one.version, pack) if ours and client is not None else ()
        types = pack.node_types if pack else ()
        packages.append(Locked(name, one.version, wheels, pack is not None, not ours, types))
    return Lock(tuple(packages), _models(host), host.config.registry)


def _brought(generation: Generation) -> set[str]:
    """What packs brought: themselves and what they need that the host does not."""
    needs = Needs.of(generation.path)
    packs = {name for name, pack in generation.packs.items() if pack.origin != "host"}
    found = set(packs)
    for name in packs:
        found |= set(needs.orphans_without(name, frozenset()))
    return found


def _wheels(
    client: RegistryClient, name: str, version: str, pack: InstalledPack | None
) -> tuple[LockedWheel, ...]:
    try:
        files = client.version(name, version).files
    except NotFound:
        return ()
    wanted = [f for f in files if pack is None or pack.sha256 in (None, f.sha256)]
    return tuple(LockedWheel(f.filename, f.url, f.sha256, f.size) for f in wanted)


def _models(host: Host) -> tuple[ModelManifest, ...]:
    index = Index.open(host)
    found = []
    for path in model_files(host):
        known = index.known.get(str(path))
        if known is not None and path.is_relative_to(host.models):
            folder, *rest = path.relative_to(host.models).parts
            found.append(ModelManifest("/".join(rest), folder, known.sha256, known.size))
    return tuple(found)


def text(lock: Lock) -> str:
    """The file: `packages` as the specification says; the host's own distributions without wheels."""
    packages = [
        {
            "name": p.name,
            "version": p.version,
            **(
                {
                    "wheels": [
                        {"name": w.name, "url": w.url, "size": w.size, "hashes": {"sha256": w.sha256}}
                        for w in p.wheels
                    ]
                }
                if p.wheels
                else {}
            ),
            "tool": {"noderack": _about(p)},
        }
        for p in lock.packages
    ]
    models = [_model_row(model) for model in lock.models]
    ours = {"models": models, **({"registry": lock.registry} if lock.registry else {})}
    data = {
        "lock-version": LOCK_VERSION,
        "created-by": "noderack",
        "requires-python": lock.requires_python,
        "packages": packages,
        "tool": {"noderack": ours},
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
        return Lock(
            tuple(_locked(row) for row in data["packages"]),
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
    wheels = tuple(
        LockedWheel(str(w["name"]), str(w["url"]), str(w["hashes"]["sha256"]), int(w.get("size", 0)))
        for w in row.get("wheels", ())
    )
    kind = about.get("kind")
    types: Sequence[str] = about.get("node-types", ())
    return Locked(
        str(row["name"]), str(row["version"]), wheels, kind == "pack", kind == "host", tuple(map(str, types))
    )


def _model(row: Mapping[str, Any]) -> ModelManifest:
    sources = tuple(Source("url", str(url)) for url in row.get("sources", ()))
    return ModelManifest(str(row["name"]), str(row["folder"]), row.get("sha256"), row.get("size"), sources)
