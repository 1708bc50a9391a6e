"""`nodes list`, `nodes generations`, `nodes rollback`, `nodes prune`: what is installed, and going back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from noderack_host.folder import Host

from noderack_cli import generations as gens
from noderack_cli.held import hold
from noderack_cli.options import host_option, json_option, registry_option, wait_option
from noderack_cli.policy import Policy
from noderack_cli.serving import generations_served, show_generation
from noderack_cli.show import count, day, table
from noderack_cli.where import open_host, open_registry


@click.command("list")
@click.option("--outdated", is_flag=True, help="Only packs of which the registry has a newer version.")
@click.option("--failed", is_flag=True, help="Import all packs, and say which do not load, and why.")
@click.option("--times", is_flag=True, help="Import all packs, and say how long each took.")
@host_option
@registry_option
@json_option
def list_packs(
    outdated: bool, failed: bool, times: bool, folder: Path | None, registry: str | None, as_json: bool
) -> None:
    """List the packs of the host.

    \b
    nodes list
    nodes list --outdated
    nodes list --failed
    nodes list --times --json
    """
    host = open_host(folder)
    if failed or times:
        from noderack_cli.commands.loading import show

        show(host, failed=failed, as_json=as_json)
        return
    generation = gens.current(host)
    packs = sorted(generation.packs.values(), key=lambda pack: pack.name)
    policy = Policy.of(host)
    if outdated:
        _tell_outdated(host, registry, generation, policy, as_json=as_json)
        return
    if as_json:
        rows_of = [
            {**asdict(p), "pinned": policy.pins.get(p.name), "held": p.name in policy.holds} for p in packs
        ]
        click.echo(json.dumps({"generation": generation.number, "packs": rows_of}))
        return
    click.echo(f"Generation {generation.number}, made {day(generation.made)}: {generation.why}")
    rows = [(p.name, p.version, count(len(p.node_types), "node type"), _state(p, policy)) for p in packs]
    click.echo(table(rows))


def _state(pack: gens.InstalledPack, policy: Policy) -> str:
    pinned = policy.pins.get(pack.name)
    said = ["disabled" if pack.disabled else pack.origin]
    said += [f"pinned at {pinned}"] if pinned else []
    return ", ".join([*said, *(["held"] if pack.name in policy.holds else [])])


def _tell_outdated(
    host: Host, registry: str | None, generation: gens.Generation, policy: Policy, *, as_json: bool
) -> None:
    from noderack_cli.commands.packs import outdated

    with open_registry(host, registry) as client:
        newer = {choice.pack: choice for choice in outdated(client, generation, policy, [])}
    packs = [generation.packs[name] for name in sorted(newer)]
    if as_json:
        rows = [{**asdict(pack), "newer": newer[pack.name].version} for pack in packs]
        click.echo(json.dumps({"generation": generation.number, "packs": rows}))
    elif packs:
        click.echo(table([(p.name, p.version, "→", newer[p.name].version) for p in packs]))
        click.echo(f"{count(len(packs), 'pack')} could be newer: nodes update")
    else:
        click.echo("All is as new as it gets.")


@click.command()
@host_option
@json_option
def generations(folder: Path | None, as_json: bool) -> None:
    """List the generations of the host; the one in use is marked.

    \b
    nodes generations
    """
    host = open_host(folder)
    now, every = gens.current(host).number, gens.every(host)
    if as_json:
        listed = [g.as_dict() | {"in_use": g.number == now, "step_of": _holder(g)} for g in every]
        click.echo(json.dumps({"generations": listed}))
        return
    rows = [("→" if g.number == now else "", str(g.number), day(g.made), _why(g)) for g in every]
    click.echo(table(rows, indent=""))


def _holder(generation: gens.Generation) -> int | None:
    return int(generation.held.name) if generation.held else None


def _why(generation: gens.Generation) -> str:
    return f"{generation.why} (a step of {_holder(generation)})" if generation.held else generation.why


@click.command()
@click.argument("number", type=int, required=False)
@wait_option
@host_option
@json_option
def rollback(number: int | None, no_wait: bool, folder: Path | None, as_json: bool) -> None:
    """Go back to generation NUMBER, or to what there was before the last command that changed packs.

    Takes no network and no time; for a step of another generation (see nodes generations) as long as a copy
    of the environment by links, which is a second at most.

    \b
    nodes rollback
    nodes rollback 3
    """
    host = open_host(folder)
    with hold(
        host.root, "nodes rollback", wait=0 if no_wait else 600, tell=lambda t: click.echo(t, err=True)
    ):
        generation = gens.rollback(host, number)
    told = f"Generation {generation.number} is in use: {generation.why}"
    show_generation(host, told, generation.number, as_json=as_json)


@click.command()
@click.option(
    "--keep", type=click.IntRange(0), default=5, show_default=True, help="How many beside the one in use."
)
@click.option(
    "--older-than", type=click.FloatRange(0), default=0.0, metavar="DAYS", help="Only those older than this."
)
@wait_option
@host_option
@json_option
def prune(keep: int, older_than: float, no_wait: bool, folder: Path | None, as_json: bool) -> None:
    """Remove old generations, and what a killed install left; never the one in use or one that is served.

    Installing does the same by itself for all beyond the 20 newest, or `keep` under [policy] of host.toml.

    \b
    nodes prune --keep 2
    """
    host = open_host(folder)
    with hold(host.root, "nodes prune", wait=0 if no_wait else 600, tell=lambda t: click.echo(t, err=True)):
        gone = gens.prune(host, keep, older_than * 86400, spare=generations_served(host))
    if as_json:
        click.echo(json.dumps({"removed": gone}))
    else:
        click.echo(
            f"Removed {count(len(gone), 'generation')}{': ' if gone else ''}{', '.join(map(str, gone))}."
        )
