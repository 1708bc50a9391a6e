"""What is installed and should not be: revoked, quarantined, yanked or vulnerable, with what mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from noderack_registry.client import NotFound, RegistryClient
from noderack_registry.schema import PackVersion

from noderack_cli.generations import Generation, InstalledPack
from noderack_cli.installed import installed
from noderack_cli.osv import vulnerabilities
from noderack_cli.trust import Killed


@dataclass(frozen=True, slots=True)
class Finding:
    """`kind` is revoked, quarantined, yanked, gone or vulnerable; `cure` is a command."""

    kind: str
    name: str
    version: str
    what: str
    cure: str


def audited(
    now: Generation, client: RegistryClient | None, killed: Killed, osv: Path | None
) -> list[Finding]:
    """All findings about a generation, the gravest first; without a `client` by what the host has alone."""
    active = [pack for pack in now.packs.values() if not pack.disabled]
    found = [*_revoked(active, killed), *(_of_registry(active, client, killed) if client else ())]
    return found if osv is None else [*found, *_vulnerable(now, osv)]


def _revoked(packs: list[InstalledPack], killed: Killed) -> Iterator[Finding]:
    for pack in packs:
        if pack.sha256 in killed:
            why = killed[pack.sha256 or ""].reason or "no reason given"
            yield Finding(
                "revoked", pack.name, pack.version, f"revoked: {why}", f"nodes uninstall {pack.name}"
            )


def _of_registry(packs: list[InstalledPack], client: RegistryClient, killed: Killed) -> Iterator[Finding]:
    for pack in packs:
        if pack.origin != "registry" or pack.sha256 in killed:
            continue
        try:
            version = client.version(pack.name, pack.version)
        except NotFound:
            what = "the registry does not have this version any more"
            yield Finding("gone", pack.name, pack.version, what, f"nodes update {pack.name}")
            continue
        yield from _status(version)


def _status(version: PackVersion) -> Iterator[Finding]:
    name = version.pack
    if version.status == "quarantined":
        what = f"quarantined: {version.status_reason or 'no reason given'}"
        yield Finding("quarantined", name, version.version, what, f"nodes disable {name}")
    if version.yanked:
        what = f"yanked: {version.yanked_reason or 'no reason given'}"
        yield Finding("yanked", name, version.version, what, f"nodes update {name}")


def _vulnerable(now: Generation, osv: Path) -> Iterator[Finding]:
    have: Mapping[str, str] = {name: one.version for name, one in installed(now.path).items()}
    for one in vulnerabilities(osv, have):
        names = ", ".join((one.id, *one.aliases[:2]))
        fixed = f"; fixed in {', '.join(one.fixed[:3])}" if one.fixed else "; no fixed version is known"
        cure = f"nodes update {one.name}" if one.name in now.packs else f"nodes why {one.name}"
        yield Finding("vulnerable", one.name, one.version, f"{names}: {one.summary}{fixed}", cure)
