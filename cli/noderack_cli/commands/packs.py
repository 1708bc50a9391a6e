"""`nodes uninstall/update/pin/hold/free/why/diff`: packs by name, and why things are as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import click
from noderack_registry.client import NotFound as RegistryMissed
from noderack_registry.client import RegistryClient
from noderack_registry.schema import PackVersion
from packaging.version import InvalidVersion, Version

from noderack_cli import generations as gens
from noderack_cli.at_once import at_once
from noderack_cli.carry import carry_out, confirm, show_plan
from noderack_cli.errors import BadInput, NotFound
from noderack_cli.exits import Exit
from noderack_cli.generations import Generation
from noderack_cli.held import hold as hold_host
from noderack_cli.options import (
    dry_run_option,
    host_option,
    json_option,
    registry_option,
    wait_option,
    yes_option,
)
from noderack_cli.pack_facts import versions_of, with_version
from noderack_cli.pack_names import normal
from noderack_cli.plan import PackChoice, Plan
from noderack_cli.policy import Policy
from noderack_cli.progress import Progress
from noderack_cli.reasons import Needs, difference
from noderack_cli.remove import dependents_first, remove_pack, to_go
from noderack_cli.serving import tell_server
from noderack_cli.show import table
from noderack_cli.solving import solved
from noderack_cli.where import open_host, open_registry


@click.command()
@click.argument("packs", nargs=-1, required=True, metavar="PACK...")
@dry_run_option
@yes_option
@wait_option
@host_option
@json_option
def uninstall(
    packs: tuple[str, ...], *, dry_run: bool, yes: bool, no_wait: bool, folder: Path | None, as_json: bool
) -> None:
    """Remove packs, and what only they needed. Each is one generation; `nodes rollback` brings it back.

    \b
    nodes uninstall film-look --dry-run
    nodes uninstall film-look
    """
    host = open_host(folder)
    names = dependents_first(host, [normal(name) for name in packs])
    going = to_go(host, names)
    if not as_json:
        click.echo(table([("-", name, version) for name, version in going.items()]))
    elif dry_run:
        click.echo(json.dumps({"would_remove": list(going)}))
    if dry_run:
        return
    confirm(yes or as_json)
    with hold_host(host.root, "nodes uninstall", wait=0 if no_wait else 600):
        for name in names:
            removed, generation = remove_pack(host, name)
            if as_json:
                click.echo(json.dumps({"removed": removed, "generation": generation.number}))
            else:
                click.echo(f"Removed {', '.join(removed)}; generation {generation.number} is in use.")
    tell_server(host, as_json=as_json)


@click.command()
@click.argument("packs", nargs=-1, metavar="[PACK...]")
@click.option("--all", "every", is_flag=True, help="All packs, as when none is named.")
@dry_run_option
@yes_option
@wait_option
@host_option
@registry_option
@json_option
def update(
    *,
    packs: tuple[str, ...],
    every: bool,
    dry_run: bool,
    yes: bool,
    no_wait: bool,
    folder: Path | None,
    registry: str | None,
    as_json: bool,
) -> int:
    """Bring packs to their newest versions (all when none is named), one verified generation for each.

    Packs that are pinned or held stay as they are.

    \b
    nodes update --dry-run
    nodes update film-look
    nodes update --all --yes
    """
    if packs and every:
        raise BadInput("--all is all packs: name none beside it")
    host = open_host(folder)
    now = gens.current(host)
    policy, only = Policy.of(host), [normal(pack) for pack in packs]
    with open_registry(host, registry) as client:
        choices = outdated(client, now, policy, only)
        plan = solved(host, client, Plan(tuple(choices), generation=now.number))
        plan = replace(plan, notes=(*plan.notes, *_left_alone(now, policy, only)))
        show_plan(plan, as_json=as_json, nothing="All is as new as it gets.")
        if dry_run or not plan:
            return Exit.OK
        confirm(yes or as_json)
        return carry_out(host, client, plan, Progress(as_json), wait=not no_wait)


def _left_alone(now: Generation, policy: Policy, only: list[str]) -> Iterator[str]:
    """What is not brought up to date, and why, in words."""
    packs = [pack for pack in now.packs.values() if pack.origin != "host" and (not only or pack.name in only)]
    held = sorted(pack.name for pack in packs if pack.name in policy.holds)
    own = sorted(pack.name for pack in packs if pack.origin != "registry" and pack.name not in held)
    off = sorted(pack.name for pack in packs if pack.disabled and pack.name not in (*held, *own))
    if held:
        yield f"held, so left as it is: {', '.join(held)} (nodes free {held[0]} lets it change)"
    pinned = sorted(p.name for p in packs if policy.pins.get(p.name) == p.version and p.name not in held)
    if pinned:
        yield f"pinned, so left as it is: {', '.join(pinned)} (nodes free {pinned[0]} lets it change)"
    if own:
        yield f"not from the registry, so left as it is: {', '.join(own)} (nodes install its newer source)"
    if off:
        yield f"disabled, so left as it is: {', '.join(off)} (nodes enable {off[0]})"


def outdated(client: RegistryClient, now: Generation, policy: Policy, only: list[str]) -> list[PackChoice]:
    """The packs (those in `only`, or all) of which the registry has a newer version, or the pinned one."""
    unknown = [name for name in only if name not in now.packs]
    if unknown:
        raise NotFound(f"{unknown[0]} is not installed", "See what is: nodes list")
    asked = [
        pack
        for pack in now.packs.values()
        if pack.origin == "registry" and not pack.disabled and pack.name not in policy.holds
        if not only or pack.name in only
    ]
    pins = policy.pins
    wanted = {
        pack.name: f"{pack.name}=={pins[pack.name]}" if pack.name in pins else pack.name for pack in asked
    }
    told = versions_of(client, wanted.values())
    untold = [pack.name for pack in asked if wanted[pack.name] not in told]
    ask = partial(_version, client, pins, must=bool(only))
    others = dict(zip(untold, at_once(ask, untold), strict=True))
    found = ((pack, told.get(wanted[pack.name]) or others.get(pack.name)) for pack in asked)
    return [
        _change(pack, version, pinned=pack.name in pins)
        for pack, version in found
        if version and _newer(version.version, pack.version, pinned=pack.name in pins)
    ]


def _change(pack: gens.InstalledPack, version: PackVersion, *, pinned: bool) -> PackChoice:
    reason = "you pinned it there" if pinned else "newer version"
    choice = PackChoice(pack.name, version.version, pack.node_types, reason, replaces=pack.version)
    return with_version(choice, version)


def _version(client: RegistryClient, pins: Mapping[str, str], name: str, *, must: bool) -> PackVersion | None:
    """The pinned or newest version; None where this registry does not have the pack, unless it `must`."""
    pinned = pins.get(name)
    try:
        number = pinned or client.pack(name).latest
        return client.version(name, number) if number else None
    except RegistryMissed:
        if must or pinned:
            raise
        return None


def _newer(target: str, here: str, *, pinned: bool) -> bool:
    try:
        return Version(target) != Version(here) if pinned else Version(target) > Version(here)
    except InvalidVersion:
        return target != here


@click.command()
@click.argument("pack", metavar="PACK[==VERSION]")
@host_option
@json_option
def pin(pack: str, folder: Path | None, as_json: bool) -> None:
    """Fix PACK at a version: the one that is here, or VERSION (`nodes update PACK` then goes there).

    \b
    nodes pin film-look==1.2
    """
    host = open_host(folder)
    name, _, version = pack.replace("==", "@").partition("@")
    here = gens.current(host).packs.get(normal(name))
    if not version and here is None:
        raise NotFound(f"{name} is not installed", f"Say which version: nodes pin {name}==VERSION")
    version = version or (here.version if here else "")
    if not _is_version(version):
        raise BadInput(f"{version!r} is no version", f"Say for example: nodes pin {normal(name)}==1.2.0")
    Policy.of(host).pin(normal(name), version).save(host)
    told = f"{normal(name)} is pinned at {version}"
    if here is None or here.version == version:
        _say(f"{told}.", as_json, pack=normal(name), pinned=version)
    else:
        more = f", and here is {here.version}; go there with: nodes update {normal(name)}"
        _say(told + more, as_json, pack=normal(name), pinned=version, here=here.version)


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _say(told: str, as_json: bool, **facts: str) -> None:
    """Tell what was done, in words or as JSON."""
    click.echo(json.dumps(facts) if as_json else told)


@click.command()
@click.argument("pack")
@host_option
@json_option
def hold(pack: str, folder: Path | None, as_json: bool) -> None:
    """Leave PACK as it is when others are updated.

    \b
    nodes hold film-look
    """
    host = open_host(folder)
    if normal(pack) not in gens.current(host).packs:
        raise NotFound(f"{pack} is not installed", "See what is: nodes list")
    Policy.of(host).hold(normal(pack)).save(host)
    told = f"{normal(pack)} is held; `nodes free {normal(pack)}` lets it change again."
    _say(told, as_json, held=normal(pack))


@click.command()
@click.argument("pack")
@host_option
@json_option
def free(pack: str, folder: Path | None, as_json: bool) -> None:
    """Take back what `pin` and `hold` said about PACK.

    \b
    nodes free film-look
    """
    host = open_host(folder)
    policy = Policy.of(host)
    if normal(pack) not in {*policy.pins, *policy.holds}:
        raise NotFound(f"{pack} is neither pinned nor held", "See what is: nodes list")
    policy.free(normal(pack)).save(host)
    _say(f"{normal(pack)} may change again.", as_json, free=normal(pack))


@click.command()
@click.argument("name", metavar="PACK|DISTRIBUTION|TYPE")
@host_option
@json_option
def why(name: str, folder: Path | None, as_json: bool) -> None:
    """Say why a pack or a Python distribution is here: the chains of requirements that lead to it.

    \b
    nodes why numpy
    nodes why FilmGrain
    """
    now = gens.current(open_host(folder))
    owner = next((p.name for p in now.packs.values() if name in p.node_types), None)
    wanted = owner or normal(name)
    needs = Needs.of(now.path)
    if wanted not in needs.have and wanted not in now.packs:
        raise NotFound(f"{name} is not installed", "See what is: nodes list")
    tops = frozenset(now.packs) | {"noderack"}
    chains = needs.chains(wanted, tops)
    pack = now.packs.get(wanted)
    if as_json:
        click.echo(json.dumps({"name": wanted, "pack": asdict(pack) if pack else None, "chains": chains}))
        return
    if pack is not None:
        types = ", ".join(pack.node_types[:8])
        click.echo(f"{pack.name} {pack.version} is a pack (from {pack.origin}) with {types or 'no nodes'}.")
    for chain in chains:
        click.echo("  " + " → ".join(chain))
    if not chains and pack is None:
        click.echo(
            f"{wanted} {needs.have[wanted].version}: nothing here needs it; it came with the environment."
        )


@click.command()
@click.argument("old", type=int)
@click.argument("new", type=int, required=False)
@host_option
@json_option
def diff(old: int, new: int | None, folder: Path | None, as_json: bool) -> None:
    """Show what differs between generations OLD and NEW (the one in use when not given).

    \b
    nodes diff 3
    nodes diff 3 5
    """
    host = open_host(folder)
    one = gens.numbered(host, old)
    other = gens.numbered(host, new) if new is not None else gens.current(host)
    changes = difference(one, other)
    if as_json:
        click.echo(json.dumps({"changes": [asdict(change) for change in changes]}))
        return
    click.echo(table([(c.name, c.old or "-", "→", c.new or "-") for c in changes]) or "Nothing differs.")
