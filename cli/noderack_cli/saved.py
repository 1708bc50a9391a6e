"""Packs in the versions that workflows were saved with, for those who want the picture of that day again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from noderack_registry.client import NotFound, RegistryClient
from packaging.version import InvalidVersion, Version

from noderack_cli.at_once import at_once
from noderack_cli.choose_packs import CHOSEN_VERSION
from noderack_cli.missing import MissingType
from noderack_cli.plan import PackChoice


def as_saved(
    client: RegistryClient, packs: Sequence[PackChoice], wanted: Sequence[MissingType]
) -> tuple[PackChoice, ...]:
    """Each pack in the newest version that a workflow names for it, if the registry has it with its types."""

    def saved(pack: PackChoice) -> PackChoice:
        said = {want.version for want in wanted if want.version and want.type in pack.node_types}
        if not said - {pack.version} or pack.reason == CHOSEN_VERSION:
            return pack
        try:
            known = client.versions(pack.pack)
        except NotFound:
            return pack
        found = [v.version for v in known if v.version in said and v.status == "active" and not v.yanked]
        lists = {v.version: set(v.node_types) for v in known}
        found = [v for v in found if not lists[v] or set(pack.node_types) <= lists[v]]
        if not found:
            return replace(pack, reason=f"{pack.reason}, which this registry does not have")
        return replace(
            pack, version=max(found, key=_order), reason="the workflow was saved with this version"
        )

    return tuple(at_once(saved, packs))


def _order(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")
