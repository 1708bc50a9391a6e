"""Node types that two packs bring: only one of the two is used, so a plan says so before it is agreed to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from noderack_cli.generations import Generation
from noderack_cli.plan import PackChoice
from noderack_cli.show import some


def clashes(packs: Sequence[PackChoice], generation: Generation) -> Iterator[str]:
    """A sentence for each pack that is here, or comes before, with types that a coming one has as well."""
    coming = {pack.pack for pack in packs}
    here = [pack for pack in generation.packs.values() if pack.name not in coming and not pack.disabled]
    owners = {type_: pack.name for pack in reversed(here) for type_ in pack.node_types}
    for pack in packs:
        shared: dict[str, list[str]] = {}
        for type_ in pack.brings or pack.node_types:
            other = owners.setdefault(type_, pack.pack)
            if other != pack.pack:
                shared.setdefault(other, []).append(type_)
        for other, types in shared.items():
            is_here = "" if other in coming else ", which is here,"
            used = min(pack.pack, other, key=lambda name: (name != "noderack", name))  # as hosts load them
            yield f"{pack.pack} and {other}{is_here} both bring {some(types)}: that of {used} is used"
