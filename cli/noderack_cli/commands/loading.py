"""`nodes list --failed` and `--times`: what happens when the host's packs are imported."""

from __future__ import annotations

import json

import click
from noderack_host.folder import Host

from noderack_cli import generations as gens
from noderack_cli.show import count, table
from noderack_cli.verify import Inspection, inspect


def show(host: Host, *, failed: bool, as_json: bool) -> None:
    """Imports all packs in a child process, and tells the failures, or how long each took."""
    found = inspect(gens.current(host).python, host)
    if as_json:
        click.echo(json.dumps(_told(found)))
    elif failed:
        _failures(found)
    else:
        slowest = sorted(found.seconds.items(), key=lambda row: -row[1])
        rows = [(name, f"{took:.3f} s", count(len(found.packs[name]), "node type")) for name, took in slowest]
        click.echo(table(rows))
        click.echo(f"{sum(found.seconds.values()):.3f} s together")


def _failures(found: Inspection) -> None:
    if not found.failures:
        click.echo(f"All {count(len(found.packs), 'pack')} load.")
    for failure in found.failures:
        click.echo(f"{failure.pack}{_type(failure.node_type)}: {failure.cause}")
        for line in failure.where:
            click.echo(f"    {line}")
    for row in found.lacking:
        if row.get("replaced"):
            click.echo(
                f"{row['pack']} puts its own {row['name']} in place; only packs see that, not the core"
            )
            continue
        click.echo(f"{row['pack']} asks for {row['name']}, which Noderack does not provide ({row['count']}x)")


def _type(node_type: str | None) -> str:
    return f", node type {node_type}" if node_type else ""


def _told(found: Inspection) -> dict[str, object]:
    return {
        "packs": [
            {"name": name, "seconds": took, "node_types": list(found.packs[name])}
            for name, took in found.seconds.items()
        ],
        "failures": [
            {"pack": f.pack, "node_type": f.node_type, "cause": f.cause, "where": list(f.where)}
            for f in found.failures
        ],
        "lacking": list(found.lacking),
    }
