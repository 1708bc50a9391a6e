"""From a lock to what must change, and bundles: a lock with its wheels and models in one folder of files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from noderack_host.folder import Host
from noderack_registry.schema import ModelManifest

from noderack_cli.errors import BadInput, NodesError, Unresolvable
from noderack_cli.fetch import fetch
from noderack_cli.generations import Generation
from noderack_cli.lock_file import Lock, Locked, LockedWheel
from noderack_cli.missing import Have
from noderack_cli.model_files import Index, digest, find_content
from noderack_cli.plan import Distribution, ModelChoice, PackChoice, Plan
from noderack_cli.sources import Access


def plan_of(lock: Lock, host: Host, generation: Generation, wheels: Path | None) -> Plan:
    """The plan that makes the host what the lock says; wheels from the folder `wheels` if given.

    Raises Unresolvable when the host's own part (torch, noderack) is of other versions than the lock's.
    """
    from noderack_cli.installed import installed

    have = installed(generation.path)
    _same_host(lock, {name: one.version for name, one in have.items()})
    wanted = [p for p in lock.packages if not p.host]
    packs = tuple(
        _choice(p, generation, wheels)
        for p in sorted(wanted, key=lambda p: p.pack)  # libraries first
        if p.name not in have or have[p.name].version != p.version
    )
    models = tuple(
        _model(host, m) for m in lock.models if Have.of(host, generation).model(m.name, m.folder) is None
    )
    changes = tuple(Distribution(p.pack, p.replaces, p.version) for p in packs)
    return Plan(packs, changes, models, generation=generation.number, solved=True)


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


def _choice(package: Locked, generation: Generation, wheels: Path | None) -> PackChoice:
    here = generation.packs.get(package.name)
    wheel = package.wheels[0] if package.wheels else None
    choice = PackChoice(
        package.name,
        package.version,
        package.node_types,
        "the lock says so",
        replaces=here.version if here else None,
        sha256=wheel.sha256 if wheel else None,
        size=wheel.size if wheel else 0,
        library=not package.pack,
    )
    local = wheels / wheel.name if wheels is not None and wheel is not None else None
    return replace(choice, wheel=str(local)) if local is not None and local.is_file() else choice


def _model(host: Host, manifest: ModelManifest) -> ModelChoice:
    content = manifest.sha256
    present = find_content(host, Index.open(host), content, manifest.size) if content else None
    return ModelChoice(
        manifest.name, manifest.folder, manifest, "the lock says so", str(present) if present else None
    )


def make_bundle(lock: Lock, host: Host, out: Path, access: Access, *, models: bool) -> list[Path]:
    """Put the lock's wheels (and models) into the new folder `out`; raises NodesError, leaving no folder."""
    if out.exists():
        raise BadInput(f"{out} is there already", "Name a new folder.")
    beside = out.with_name(f".{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        files = [_wheel(wheel, beside / "wheels", access) for p in lock.packages for wheel in p.wheels]
        if models:
            files += [_copy(host, model, beside / "models") for model in lock.models]
        beside.rename(out) if beside.exists() else out.mkdir(parents=True)
    except (NodesError, OSError):
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return [out / file.relative_to(beside) for file in files]


def _wheel(wheel: LockedWheel, folder: Path, access: Access) -> Path:
    from noderack_registry.schema import Source

    manifest = ModelManifest(wheel.name, "wheels", wheel.sha256, wheel.size, (Source("url", wheel.url),))
    return fetch(manifest, folder / wheel.name, access).path


def _copy(host: Host, model: ModelManifest, folder: Path) -> Path:
    source = host.models / model.folder / model.name
    target = folder / model.folder / model.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    if digest(target) != model.sha256:
        raise BadInput(f"{source} has changed since it was locked", "Lock again: nodes lock")
    return target
