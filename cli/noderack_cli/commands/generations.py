"""`nodes list`, `nodes generations`, `nodes rollback`, `nodes prune`: what is installed, and going back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from noderack_cli import generations as gens
from noderack_cli.held import hold
from noderack_cli.options import host_option, json_option, wait_option
from noderack_cli.show import count, day, table
from noderack_cli.where import open_host


@click.command("list")
@host_option
@json_option
def list_packs(folder: Path | None, as_json: bool) -> None:
    """List the packs of the host.

    \b
    nodes list
    nodes list --json
    """
    generation = gens.current(open_host(folder))
    packs = sorted(generation.packs.values(), key=lambda pack: pack.name)
    if as_json:
        click.echo(json.dumps({"generation": generation.number, "packs": [asdict(pack) for pack in packs]}))
        return
    click.echo(f"Generation {generation.number}, made {day(generation.made)}: {generation.why}")
    rows = [
        (p.name, p.version, count(len(p.node_types), "node type"), "disabled" if p.disabled else p.origin)
        for p in packs
    ]
    click.echo(table(rows))


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
        listed = [json.loads(g.record()) | {"in_use": g.number == now} for g in every]
        click.echo(json.dumps({"generations": listed}))
        return
    rows = [("→" if g.number == now else "", str(g.number), day(g.made), g.why) for g in every]
    click.echo(table(rows, indent=""))


@click.command()
@click.argument("number", type=int, required=False)
@wait_option
@host_option
@json_option
def rollback(number: int | None, no_wait: bool, folder: Path | None, as_json: bool) -> None:
    """Go back to generation NUMBER, or to the one before the one in use. Takes no network and no time.

    \b
    nodes rollback
    nodes rollback 3
    """
    host = open_host(folder)
    with hold(
        host.root, "nodes rollback", wait=0 if no_wait else 600, tell=lambda t: click.echo(t, err=True)
    ):
        generation = gens.rollback(host, number)
    if as_json:
        click.echo(json.dumps({"generation": generation.number}))
    else:
        click.echo(f"Generation {generation.number} is in use: {generation.why}")


@click.command()
@click.option("--keep", default=5, show_default=True, help="How many beside the one in use.")
@click.option("--older-than", default=0.0, metavar="DAYS", help="Only those older than this.")
@wait_option
@host_option
@json_option
def prune(keep: int, older_than: float, no_wait: bool, folder: Path | None, as_json: bool) -> None:
    """Remove old generations, and what a killed install left.

    \b
    nodes prune --keep 2
    """
    host = open_host(folder)
    with hold(host.root, "nodes prune", wait=0 if no_wait else 600, tell=lambda t: click.echo(t, err=True)):
        gone = gens.prune(host, keep, older_than * 86400)
    if as_json:
        click.echo(json.dumps({"removed": gone}))
    else:
        click.echo(
            f"Removed {count(len(gone), 'generation')}{': ' if gone else ''}{', '.join(map(str, gone))}."
        )
