"""What would resolve a conflict: other choices are tried, and those that work are told as commands.

Older versions of the packs that are to blame, leaving one of them out, and a host of its own: each is solved
by uv before it is offered, so none is a guess.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from noderack_host.folder import Host
from noderack_registry.client import NotFound, RegistryClient

from noderack_cli.again import Again
from noderack_cli.errors import Unresolvable
from noderack_cli.generations import Generation
from noderack_cli.installed import installed
from noderack_cli.plan import PackChoice
from noderack_cli.show import quoted
from noderack_cli.solve import solvable

OLDEST = 12  # versions back that are tried of one pack
SECONDS = 30.0  # for all tries together


class Solves(Protocol):
    """Whether some packs can be installed together; `gone` and `newer` as for `solvable`."""

    def __call__(self, some: Sequence[PackChoice], *, gone: str = "", newer: bool = False) -> bool:
        """True if uv finds a solution in time."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way out: what it is, and the command that takes it."""

    what: str
    command: str


def ways_out(
    host: Host, client: RegistryClient, generation: Generation, packs: Sequence[PackChoice], again: Again
) -> tuple[Way, ...]:
    """The ways that uv found to work, best first. `again` is the command to which options are added."""
    until = time.monotonic() + SECONDS
    have = installed(generation.path)

    def solves(some: Sequence[PackChoice], **how: Any) -> bool:
        return time.monotonic() < until and solvable(host, client.url, generation, some, have, **how)

    blamed = _blamed(packs, solves)
    found = [way for pack in blamed for way in _older(client, pack, packs, solves, again)]
    found += _of_installed(client, generation, packs, solves, again)
    found += [way for pack in blamed for way in _without(pack, packs, solves, again)]
    if solves(packs, newer=True):
        found.append(_newer_host(host, client, again))
    return tuple(found)


def _newer_host(host: Host, client: RegistryClient, again: Again) -> Way:
    """A host of its own, with the newest torch that there is, of the same registry and index."""
    words = ["nodes", "init", "FOLDER", "--new", "--torch", "auto", "--registry", client.url]
    if host.config.python_index != "default":
        words += ["--python-index", host.config.python_index]
    what = "a newer host, made beside this one, with newer torch and core"
    return Way(what, f"{' '.join(map(quoted, words))} && {again.on('FOLDER').line()}")


def _blamed(packs: Sequence[PackChoice], solves: Solves) -> list[PackChoice]:
    """Packs that cannot be installed even alone; if each can, all whose absence would help; else all."""
    alone = [pack for pack in packs if not solves([pack])]
    if alone or len(packs) < 2:
        return alone or list(packs)
    return [pack for pack in packs if solves(_others(pack, packs))] or list(packs)


def _others(pack: PackChoice, packs: Sequence[PackChoice]) -> list[PackChoice]:
    return [other for other in packs if other.pack != pack.pack]


def _older(
    client: RegistryClient, pack: PackChoice, packs: Sequence[PackChoice], solves: Solves, again: Again
) -> list[Way]:
    """The newest other version with which all can be installed."""
    if pack.wheel:
        return []
    try:
        versions = client.versions(pack.pack)
    except NotFound:
        return []
    usable = [v for v in versions if v.version != pack.version and not v.yanked and v.status == "active"]
    for one in usable[:OLDEST]:
        lacking = set(pack.node_types) - set(one.node_types) if one.node_types else set()
        tried = replace(pack, version=one.version, sha256=None)
        if not lacking and solves([*_others(pack, packs), tried]):
            return [Way(f"{pack.pack} {one.version} instead of {pack.version}", again.with_version(tried))]
    return []


def _of_installed(
    client: RegistryClient,
    generation: Generation,
    packs: Sequence[PackChoice],
    solves: Solves,
    again: Again,
) -> list[Way]:
    """What a change to a pack that is here would do: its newest version, or without it."""
    ways = []
    coming = {pack.pack for pack in packs}
    for here in generation.packs.values():
        if here.origin != "registry" or here.disabled or here.name in coming:
            continue
        if not solves(packs, gone=here.name):
            continue
        newest = _newest(client, here.name)
        if newest and newest != here.version and solves([*packs, PackChoice(here.name, newest, (), "")]):
            what = f"{here.name} {newest}, which is here as {here.version}, first"
            ways.append(Way(what, again.after("update", here.name, registry=True)))
        ways.append(Way(f"without {here.name}, which is here", again.after("uninstall", here.name)))
    return ways


def _newest(client: RegistryClient, name: str) -> str | None:
    try:
        return client.pack(name).latest
    except NotFound:
        return None


def _without(pack: PackChoice, packs: Sequence[PackChoice], solves: Solves, again: Again) -> list[Way]:
    others = _others(pack, packs)
    command = again.without(pack)
    if not command or (others and not solves(others)):
        return []
    lost = f" (then {', '.join(pack.node_types[:3])} stays missing)" if pack.node_types else ""
    return [Way(f"the others without {pack.pack}{lost}", command)]


def told(error: Unresolvable, ways: Sequence[Way]) -> Unresolvable:
    """The error with the ways out as its hint."""
    if not ways:
        return error
    lines = [f"{way.what}:\n      {way.command}" for way in ways]
    return Unresolvable(error.message, "\n  ".join(["These were tried, and each works:", *lines]))
