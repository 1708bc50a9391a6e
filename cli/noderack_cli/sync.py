"""From a lock to what must change, and bundles: a lock with its wheels and models in one folder of files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from noderack_registry.schema import ModelManifest, Source

from noderack_cli import own_wheels
from noderack_cli.errors import BadInput, NodesError, NoSpace, Unresolvable
from noderack_cli.fetch import fetch
from noderack_cli.generations import Generation
from noderack_cli.installed import Installed, installed
from noderack_cli.lock_file import Lock, Locked, brought
from noderack_cli.missing import Have
from noderack_cli.model_files import Index, digest, find_content
from noderack_cli.plan import Distribution, ModelChoice, PackChoice, Plan
from noderack_cli.show import size
from noderack_cli.sources import Access
from noderack_cli.wheels import Wheel, fitting


def plan_of(lock: Lock, host: Host, generation: Generation, bundle: Path | None) -> Plan:
    """The plan that makes the host what the lock says; wheels from the folder `bundle` if given.

    Raises Unresolvable when the host's own part (torch, noderack) is of other versions than the lock's,
    BadInput when the lock does not say where something is.
    """
    have = installed(generation.path)
    _same_host(lock, {name: one.version for name, one in have.items()})
    wanted = {p.name: p for p in lock.packages if not p.host}
    come = [p for p in wanted.values() if p.name not in have or have[p.name].version != p.version]
    unknown = [p.name for p in come if not p.wheels]
    if unknown:
        raise BadInput(
            f"The lock does not say where these are: {', '.join(unknown)}", "Lock again: nodes lock"
        )
    gone = sorted(name for name in brought(generation) if name not in wanted)
    changes = [
        *(Distribution(p.name, _version(have, p.name), p.version, _own(p, bundle)) for p in come),
        *(Distribution(name, _version(have, name), None) for name in gone),
    ]
    models = tuple(
        _model(host, m) for m in lock.models if Have.of(host, generation).model(m.name, m.folder) is None
    )
    packs = tuple(_choice(p, generation, bundle) for p in come if p.pack)
    return Plan(packs, tuple(changes), models, generation=generation.number, solved=True)


def _version(have: Mapping[str, Installed], name: str) -> str | None:
    return have[name].version if name in have else None


def _wheels(package: Locked, bundle: Path | None) -> tuple[Wheel, ...]:
    """The locked wheels, each from the bundle's folder if it is there."""
    files = [(wheel, bundle / wheel.name if bundle else None) for wheel in package.wheels]
    here = tuple(replace(wheel, url=str(file)) for wheel, file in files if file and file.is_file())
    return here or package.wheels


def _own(package: Locked, bundle: Path | None) -> tuple[Wheel, ...]:
    """The locked wheels; the one that goes with Noderack is made here where the lock's file is not."""
    wheels = _wheels(package, bundle)
    made = own_wheels.own_wheel() if package.name == own_wheels.NAME else None
    return tuple(replace(w, url=str(made)) for w in wheels if made and digest(made) == w.sha256) or wheels


def _same_host(lock: Lock, have: Mapping[str, str]) -> None:
    core = {"torch", "noderack", "numpy"}
    other = [
        f"{p.name} {p.version} (here {have.get(p.name, 'none')})"
        for p in lock.packages
        if p.host and p.name in core and have.get(p.name) != p.version
    ]
    if other:
        hint = "Make a host with those versions first, or install from the workflow instead of the lock."
        raise Unresolvable(f"The lock was made on another host: {', '.join(other)}", hint)


def _choice(package: Locked, generation: Generation, bundle: Path | None) -> PackChoice:
    here = generation.packs.get(package.name)
    wheel = fitting(_wheels(package, bundle))
    assert wheel is not None  # `plan_of` refused a package without wheels
    return PackChoice(
        package.name,
        package.version,
        package.node_types,
        "the lock says so",
        replaces=here.version if here and not here.disabled else None,
        sha256=wheel.sha256,
        size=wheel.size,
        wheel=None if "://" in wheel.url else wheel.url,
    )


def _model(host: Host, manifest: ModelManifest) -> ModelChoice:
    content = manifest.sha256
    present = find_content(host, Index.open(host), content, manifest.size) if content else None
    return ModelChoice(
        manifest.name, manifest.folder, manifest, "the lock says so", str(present) if present else None
    )


def make_bundle(lock: Lock, host: Host, out: Path, access: Access, *, models: bool) -> list[Path]:
    """Put the lock's wheels (and models) into the new folder `out`; raises NodesError, leaving no folder.

    What belongs to the host itself (torch and its like) is not in it: the other host has its own.
    """
    if out.exists():
        raise BadInput(f"{out} is there already", "Name a new folder.")
    if lock.without_hash:
        told = f"These cannot go into a bundle, as no index tells their hash: {', '.join(lock.without_hash)}"
        raise BadInput(told, "nodes why NAME says which pack needs it.")
    beside = out.with_name(f".{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    needed = [fitting(p.wheels) for p in lock.packages if not p.host]
    try:
        (beside / "wheels").mkdir(parents=True)
        files = [_wheel(wheel, beside / "wheels", access) for wheel in needed if wheel]
        if models:
            _room(lock, beside)
            files += [_copy(host, model, beside / "models") for model in lock.models]
        beside.rename(out)
    except (NodesError, OSError):
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return [out / file.relative_to(beside) for file in files]


def _wheel(wheel: Wheel, folder: Path, access: Access) -> Path:
    target = folder / wheel.name
    if "://" in wheel.url:
        source = Source("url", wheel.url)
        manifest = ModelManifest(wheel.name, "wheels", wheel.sha256, wheel.size or None, (source,))
        return fetch(manifest, target, access).path
    shutil.copyfile(wheel.url, target)
    if digest(target) != wheel.sha256:
        raise BadInput(f"{wheel.url} has changed since it was installed", "Install it again.")
    return target


def _room(lock: Lock, folder: Path) -> None:
    """Raise NoSpace unless the models fit beside; a copy that stops halfway helps nobody."""
    needed, free = sum(model.size or 0 for model in lock.models), shutil.disk_usage(folder).free
    if needed > free:
        told = f"The models need {size(needed)} at {folder.parent}, where {size(free)} are free"
        raise NoSpace(told, "Name a folder on another disk, or leave them out with --no-models.")


def _copy(host: Host, model: ModelManifest, folder: Path) -> Path:
    source = host.models / model.folder / model.name
    if not source.is_file():
        source = ModelFolders.of(host).find(model.folder, model.name) or source
    target = folder / model.folder / model.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    if digest(target) != model.sha256:
        raise BadInput(f"{source} has changed since it was locked", "Lock again: nodes lock")
    return target
