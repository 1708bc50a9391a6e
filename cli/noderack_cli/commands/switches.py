"""`nodes disable`, `nodes enable`, `nodes audit`: packs off and on, and what was revoked."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from noderack_registry.schema import Revocation

from noderack_cli import generations as gens
from noderack_cli.carry import carry_out
from noderack_cli.errors import NotFound
from noderack_cli.exits import Exit
from noderack_cli.generations import Generation
from noderack_cli.held import hold
from noderack_cli.options import host_option, json_option, registry_option
from noderack_cli.pack_names import normal
from noderack_cli.plan import PackChoice, Plan
from noderack_cli.planning import solved, with_facts
from noderack_cli.progress import Progress
from noderack_cli.remove import disable_pack
from noderack_cli.serving import tell_server
from noderack_cli.where import open_host, open_registry


@click.command()
@click.argument("pack")
@host_option
def disable(pack: str, folder: Path | None) -> None:
    """Take PACK out of use without forgetting it.

    \b
    nodes disable film-look
    """
    host = open_host(folder)
    with hold(host.root, "nodes disable"):
        made = disable_pack(host, normal(pack))
    click.echo(f"{normal(pack)} is disabled; generation {made.number} is in use.")
    tell_server(host)


@click.command()
@click.argument("pack")
@host_option
@registry_option
def enable(pack: str, folder: Path | None, registry: str | None) -> int:
    """Take PACK into use again, in the version that was disabled.

    \b
    nodes enable film-look
    """
    host = open_host(folder)
    now = gens.current(host)
    known = now.packs.get(normal(pack))
    if known is None or not known.disabled:
        raise NotFound(f"{pack} is not disabled", "See what is: nodes list")
    with open_registry(host, registry) as client:
        if known.origin == "registry":
            choice = with_facts(
                client, PackChoice(known.name, known.version, known.node_types, "enabled again")
            )
        else:
            choice = PackChoice(
                known.name, known.version, known.node_types, "enabled again", wheel=known.origin
            )
        plan = solved(host, client, Plan((choice,), generation=now.number))
        return carry_out(host, client, plan, Progress(), wait=True)


@click.command()
@host_option
@registry_option
@json_option
def audit(folder: Path | None, registry: str | None, as_json: bool) -> int:
    """Compare what is installed with the registry's list of revoked files; exit code 5 when one is here.

    \b
    nodes audit
    """
    host = open_host(folder)
    now = gens.current(host)
    with open_registry(host, registry) as client:
        bad = revoked(now, {one.sha256: one for one in client.revocations()})
    if as_json:
        click.echo(json.dumps({"revoked": [asdict(one) for one in bad]}))
    for one in [] if as_json else bad:
        click.echo(
            f"{one.name} {one.version or ''} was revoked: {one.reason}\n    nodes uninstall {one.name}"
        )
    if not bad and not as_json:
        click.echo("Nothing that is installed was revoked.")
    return Exit.UNRESOLVABLE if bad else Exit.OK


def revoked(now: Generation, killed: dict[str, Revocation]) -> list[Revocation]:
    """The revocations that concern packs of this generation."""
    return [killed[p.sha256] for p in now.packs.values() if p.sha256 in killed and not p.disabled]
