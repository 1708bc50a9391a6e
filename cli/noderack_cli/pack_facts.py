"""What the registry has of packs: the version that a name means, its hash, size, licence, risks and wheels.

One question for any number of packs; a registry that does not know that question is asked for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from noderack_registry.client import NotFound, RegistryClient
from noderack_registry.schema import PackVersion

from noderack_cli.at_once import at_once
from noderack_cli.pack_names import normal
from noderack_cli.plan import PackChoice
from noderack_cli.wheels import Wheel

MOST = 500  # packs in one question


def versions_of(client: RegistryClient, wanted: Iterable[str]) -> dict[str, PackVersion]:
    """What each NAME (its latest version) or NAME==VERSION means, as far as the registry tells it at once."""
    asked, found = list(dict.fromkeys(wanted)), dict[str, PackVersion]()
    for at in range(0, len(asked), MOST):
        try:
            found |= client.resolve((), packs=asked[at : at + MOST]).packs
        except NotFound:  # a registry without the question
            break
    return found


def with_facts(client: RegistryClient, packs: Sequence[PackChoice]) -> tuple[PackChoice, ...]:
    """The choices with what the registry knows of those versions; raises NotFound, RegistryError."""
    known = versions_of(client, (f"{pack.pack}=={pack.version}" for pack in packs))

    def told(pack: PackChoice) -> PackChoice:
        found = known.get(f"{pack.pack}=={pack.version}")
        return with_version(pack, found or client.version(pack.pack, pack.version))

    if len(known) == len(packs):
        return tuple(map(told, packs))
    return tuple(at_once(told, packs))


def with_version(pack: PackChoice, version: PackVersion) -> PackChoice:
    """The choice with what the registry said of that version."""
    wheel = version.files[0] if version.files else None
    return replace(
        pack,
        sha256=wheel.sha256 if wheel else None,
        size=wheel.size if wheel else 0,
        licence=version.licence,
        dependencies=version.dependencies,
        risks=_risks(version),
        capabilities=version.capabilities,
        library=version.library,
        brings=tuple(version.node_types),
    )


def _risks(version: PackVersion) -> tuple[str, ...]:
    found = [f"yanked: {version.yanked_reason or 'no reason given'}"] if version.yanked else []
    if version.status != "active":
        found.append(f"{version.status}: {version.status_reason}".removesuffix(": "))
    return (*found, *(f"new in this version: {c}" for c in version.new_capabilities), *version.findings)


def wheels_here(client: RegistryClient, pins: Mapping[str, str]) -> dict[str, tuple[Wheel, ...]]:
    """The wheels of those pinned versions that the registry has: uv takes such names from nowhere else."""
    known = versions_of(client, (f"{name}=={version}" for name, version in pins.items()))
    return {
        normal(found.pack): tuple(
            Wheel(file.filename, file.url, file.sha256, file.size) for file in found.files
        )
        for found in known.values()
        if found.status != "quarantined"
    }
