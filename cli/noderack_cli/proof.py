"""What must hold before a draft is used: its packs import and bring what is wanted, the others still do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from noderack_cli.errors import InstallError
from noderack_cli.generations import Draft, InstalledPack
from noderack_cli.installed import installed
from noderack_cli.plan import PackChoice
from noderack_cli.stage import closure
from noderack_cli.verify import Inspection


class Inspect(Protocol):
    """Imports packs of a draft; raises InstallError when the child ends otherwise than it should."""

    def __call__(self, draft: Draft, packs: Sequence[str], changed: Collection[str]) -> Inspection:
        """`changed` are top-level names that the draft has otherwise than the generation in use."""


def verified(inspect: Inspect, draft: Draft, pack: PackChoice, changed: Collection[str]) -> tuple[str, ...]:
    """The pack's node types when it is imported; raises InstallError if wanted ones are not there."""
    if pack.library:
        return ()
    seen = inspect(draft, [pack.pack], changed)
    for failure in seen.failures:
        if failure.node_type is None or failure.node_type in pack.node_types:
            node = f", node {failure.node_type}," if failure.node_type else ""
            told = f"{pack.pack} {pack.version}{node} does not import: {failure.cause}"
            raise InstallError(told, "The host is as it was.")
    lacking = [type_ for type_ in pack.node_types if type_ not in seen.node_types]
    if lacking:
        hint = "The registry was wrong about it; choose another with --choose TYPE=PACK."
        raise InstallError(f"{pack.pack} {pack.version} imports, but has no {', '.join(lacking)}", hint)
    return tuple(sorted(seen.node_types))


def touched(
    packs: Mapping[str, InstalledPack], draft: Draft, replaced: Collection[str], new: Collection[str]
) -> list[InstalledPack]:
    """Those of `packs` but the `new` that need a distribution of which the draft has another version."""
    if not replaced:
        return []
    have = installed(draft.path)
    return [
        pack
        for name, pack in packs.items()
        if name not in new and not pack.disabled and pack.origin != "host" and pack.node_types
        if (closure(have, name) - {name}) & set(replaced)
    ]


def unbroken(
    inspect: Inspect,
    draft: Draft,
    pack: InstalledPack,
    changed: Collection[str],
    packs: Sequence[PackChoice],
) -> None:
    """Raise InstallError if a pack that is in use lost node types."""
    seen = inspect(draft, [pack.name], changed)
    lost = [type_ for type_ in pack.node_types if type_ not in seen.node_types]
    if lost:
        causes = "; ".join(failure.cause for failure in seen.failures) or "they are not there any more"
        names = ", ".join(f"{one.pack} {one.version}" for one in packs)
        told = f"{names} would break {pack.name}, which is installed, with what it needs: {causes}"
        raise InstallError(told, f"The host is as it was. If {pack.name} may go: nodes disable {pack.name}")
