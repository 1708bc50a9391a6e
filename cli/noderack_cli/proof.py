"""What must hold before a draft is used: its packs import and bring what is wanted, the others still do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from packaging.utils import canonicalize_name

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


def verified_together(
    inspect: Inspect, draft: Draft, packs: Sequence[PackChoice], changed: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """The node types of each pack when all are imported in one process; raises InstallError if any is amiss.

    The error says nothing of whose fault it is: that is for `verified` to find.
    """
    names = [pack.pack for pack in packs if not pack.library]
    seen = inspect(draft, names, changed) if names else Inspection()
    wanted = {type_ for pack in packs for type_ in pack.node_types}
    brought = {str(canonicalize_name(name)): set(types) for name, types in seen.packs.items()}
    found = {pack.pack: brought.get(pack.pack, set()) & set(seen.node_types) for pack in packs}
    failed = [one for one in seen.failures if one.node_type is None or one.node_type in wanted]
    if failed or any(set(pack.node_types) - found[pack.pack] for pack in packs if not pack.library):
        raise InstallError("The packs do not all import together")
    return {name: tuple(sorted(types)) for name, types in found.items()}


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
