"""`nodes disable`, `nodes enable`: packs off and on."""

from __future__ import annotations

import json
from pathlib import Path

import click

from noderack_cli import generations as gens
from noderack_cli.carry import carry_out
from noderack_cli.errors import NotFound
from noderack_cli.held import hold
from noderack_cli.options import host_option, json_option, registry_option
from noderack_cli.pack_facts import with_facts
from noderack_cli.pack_names import normal
from noderack_cli.plan import PackChoice, Plan
from noderack_cli.progress import Progress
from noderack_cli.remove import disable_pack
from noderack_cli.serving import tell_server
from noderack_cli.solving import solved
from noderack_cli.where import open_host, open_registry


@click.command()
@click.argument("pack")
@host_option
@json_option
def disable(pack: str, folder: Path | None, as_json: bool) -> None:
    """Take PACK out of use without forgetting it.

    \b
    nodes disable film-look
    """
    host = open_host(folder)
    with hold(host.root, "nodes disable"):
        made = disable_pack(host, normal(pack))
    told = f"{normal(pack)} is disabled; generation {made.number} is in use."
    click.echo(json.dumps({"disabled": normal(pack), "generation": made.number}) if as_json else told)
    tell_server(host, as_json=as_json)


@click.command()
@click.argument("pack")
@host_option
@registry_option
@json_option
def enable(pack: str, folder: Path | None, registry: str | None, as_json: bool) -> int:
    """Take PACK into use again, in the version that was disabled.

    \b
    nodes enable film-look
    """
    host = open_host(folder)
    now = gens.current(host)
    known = now.packs.get(normal(pack))
    if known is None or not known.disabled:
        raise NotFound(f"{pack} is not disabled", "See what is: nodes list")
    with open_registry(host, registry, needed=known.origin == "registry") as client:
        if known.origin == "registry":
            choice = PackChoice(known.name, known.version, known.node_types, "enabled again")
            (choice,) = with_facts(client, [choice])
        else:
            choice = PackChoice(
                known.name, known.version, known.node_types, "enabled again", wheel=known.origin
            )
        plan = solved(host, client, Plan((choice,), generation=now.number))
        return carry_out(host, client, plan, Progress(as_json), wait=True)
