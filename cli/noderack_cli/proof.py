"""What must hold before a draft is used: its packs import and bring what is wanted, the others still do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from packaging.utils import canonicalize_name

from noderack_cli.errors import InstallError, TookTooLong
from noderack_cli.generations import Draft, InstalledPack
from noderack_cli.installed import installed
from noderack_cli.plan import PackChoice
from noderack_cli.stage import closure
from noderack_cli.verify import Failure, Inspection


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
            raise InstallError(told, f"The host is as it was. Other versions of it: nodes show {pack.pack}")
    lacking = [type_ for type_ in pack.node_types if type_ not in seen.node_types]
    if lacking:
        hint = "The registry was wrong about it; choose another with --choose TYPE=PACK."
        raise InstallError(f"{pack.pack} {pack.version} imports, but has no {', '.join(lacking)}", hint)
    return tuple(sorted(seen.node_types))


def verified_together(
    inspect: Inspect, draft: Draft, packs: Sequence[PackChoice], changed: Collection[str], company: Company
) -> dict[str, tuple[str, ...]]:
    """The node types of each pack when all are imported in one process; raises InstallError if any is amiss.

    The error says nothing of whose fault it is: that is for `verified` and `beside` to find.
    """
    names = [pack.pack for pack in packs if not pack.library]
    seen = inspect(draft, [*company.names, *names], changed) if names else Inspection()
    wanted = {type_ for pack in packs for type_ in pack.node_types}
    brought = {str(canonicalize_name(name)): set(types) for name, types in seen.packs.items()}
    found = {pack.pack: brought.get(pack.pack, set()) & set(seen.node_types) for pack in packs}
    failed = [one for one in seen.failures if _matters(one, names, wanted)]
    lacking = any(set(pack.node_types) - found[pack.pack] for pack in packs if not pack.library)
    if failed or lacking or (names and company.lost(seen, inspect, draft)):
        raise InstallError("The packs do not all import together")
    return {name: tuple(sorted(types)) for name, types in found.items()}


@dataclass(slots=True)
class Company:
    """The packs that a host would import beside new ones.

    `before` are the types that they lack without any new one, which is nobody's fault.
    """

    packs: Sequence[InstalledPack] = ()
    before: frozenset[str] | None = None

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [pack.name for pack in self.packs]

    def lost(self, seen: Inspection, inspect: Inspect, draft: Draft) -> frozenset[str]:
        """The node types that they have no more, and had before; raises InstallError."""
        lost = self._lacking(seen)
        if lost and self.before is None:
            self.before = self._lacking(inspect(draft, self.names, ()))
        return lost - (self.before or frozenset())

    def _lacking(self, seen: Inspection) -> frozenset[str]:
        had = (type_ for pack in self.packs for type_ in pack.node_types)
        return frozenset(had) - set(seen.node_types)


def beside(
    inspect: Inspect, draft: Draft, pack: PackChoice, changed: Collection[str], company: Company
) -> None:
    """Raise InstallError if a pack that imports alone does not together with its company; says with which."""
    told = _clash(inspect, draft, pack, changed, company)
    if not told:
        return
    for other in company.packs:
        cause = _clash(inspect, draft, pack, changed, Company([other], company.before))
        if cause:
            hint = f"The host is as it was. Keep one of the two, for example: nodes disable {other.name}"
            name = f"{pack.pack} {pack.version}"
            raise InstallError(f"{name} imports alone, but not together with {other.name}: {cause}", hint)
    names = ", ".join(company.names)
    raise InstallError(f"{pack.pack} {pack.version} imports alone, but not together with {names}: {told}")


def _clash(
    inspect: Inspect, draft: Draft, pack: PackChoice, changed: Collection[str], company: Company
) -> str:
    """What goes wrong when they are imported together; nothing where that takes too long to know."""
    if pack.library or not company.packs:
        return ""
    try:
        seen = inspect(draft, [*company.names, pack.pack], changed)
        lost = {*company.lost(seen, inspect, draft), *(set(pack.node_types) - set(seen.node_types))}
    except TookTooLong:
        return ""
    except InstallError as error:
        return error.message
    names = [*company.names, pack.pack] if lost else [pack.pack]
    causes = [one.cause for one in seen.failures if _matters(one, names, pack.node_types)]
    return "; ".join(causes) or (f"{', '.join(sorted(lost))} is not there any more" if lost else "")


def _matters(failure: Failure, packs: Collection[str], types: Collection[str]) -> bool:
    """Whether one of those packs does not import, or one of those node types breaks the contract."""
    if failure.node_type is not None:
        return failure.node_type in types
    return str(canonicalize_name(failure.distribution)) in packs


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
