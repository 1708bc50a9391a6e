"""Takes a pack out: a generation without it and without what only it needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from noderack_host.folder import Host

from noderack_cli import generations
from noderack_cli.errors import InstallError, NotFound, Unresolvable
from noderack_cli.generations import Generation, InstalledPack
from noderack_cli.reasons import Needs, versions
from noderack_cli.uv_tool import uv


def remove_pack(
    host: Host, name: str, why: str = "uninstall", kept: InstalledPack | None = None
) -> tuple[list[str], Generation]:
    """What was removed, and the new generation, which goes on knowing the pack as `kept`.

    The caller holds the host.

    Raises NotFound, Unresolvable when another pack needs it, InstallError.
    """
    now = generations.current(host)
    pack = now.packs.get(name)
    if pack is None:
        raise NotFound(f"{name} is not installed", "See what is: nodes list")
    if pack.origin == "host":
        raise Unresolvable(f"{name} is part of the host itself and stays")
    if pack.disabled:
        raise NotFound(f"{name} is disabled, so there is nothing to remove", f"nodes enable {name}")
    needs = Needs.of(now.path)
    by = [(who, spec) for who, spec in needs.needed_by(name) if who in now.packs]
    if by:
        told = ", ".join(f"{who} needs {name}{spec}" for who, spec in by)
        raise Unresolvable(f"{name} cannot be removed: {told}", f"Remove {by[0][0]} first.")
    gone = [name, *needs.orphans_without(name, _base(host) | frozenset(now.packs))]
    with generations.draft(host, now.path, now.number) as draft:
        ran = uv(["pip", "uninstall", "--quiet", "--python", draft.python, *gone])
        if ran.code != 0:
            raise InstallError(f"{name} could not be removed: {ran.err.strip()[:500]}")
        packs = {key: value for key, value in now.packs.items() if key != name}
        return gone, generations.commit(host, draft, f"{why} {name}", packs | ({name: kept} if kept else {}))


def to_go(host: Host, names: Sequence[str]) -> dict[str, str]:
    """What removing those packs, in that order, would take out, with versions; raises NotFound."""
    now = generations.current(host)
    for name in names:
        if name not in now.packs:
            raise NotFound(f"{name} is not installed", "See what is: nodes list")
    needs = Needs.of(now.path)
    base = _base(host) | frozenset(now.packs)
    gone = [one for name in names for one in (name, *needs.orphans_without(name, base))]
    return {name: needs.have[name].version for name in gone if name in needs.have}


def dependents_first(host: Host, names: Sequence[str]) -> list[str]:
    """The packs in an order in which each can go: what needs another goes before it."""
    needs, left, order = Needs.of(generations.current(host).path), list(dict.fromkeys(names)), []
    while left:
        free = [n for n in left if not {who for who, _ in needs.needed_by(n)} & (set(left) - {n})]
        order += free or left
        left = [n for n in left if n not in order]
    return order


def disable_pack(host: Host, name: str) -> Generation:
    """A generation without the pack, that remembers it for `enable`. The caller holds the host."""
    before = generations.current(host).packs.get(name)
    if before is None or before.disabled:
        raise NotFound(f"{name} is not installed" if before is None else f"{name} is disabled already")
    return remove_pack(host, name, "disable", replace(before, disabled=True))[1]


def _base(host: Host) -> frozenset[str]:
    """What the oldest generation has: it came with the environment, not with a pack."""
    oldest = generations.every(host)[0]
    return frozenset(versions(oldest)) - frozenset(p for p in oldest.packs if p != "noderack")
