"""`nodes doctor`: what is wrong with a host, and what mends it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from noderack_cli import generations as gens
from noderack_cli.doctor import look
from noderack_cli.exits import Exit
from noderack_cli.held import hold
from noderack_cli.options import host_option, json_option
from noderack_cli.show import count
from noderack_cli.where import open_host


@click.command()
@click.option("--deep", is_flag=True, help="Read every file of the packs and compare its hash.")
@click.option("--accept", is_flag=True, help="Record the environment in use as it is now, then look.")
@host_option
@json_option
def doctor(*, deep: bool, accept: bool, folder: Path | None, as_json: bool) -> int:
    """Look the host over and name every known ill with its cure; exit code 3 if there is one.

    Known are: no environment in use, folders that cannot be used, little room, a Python that does not
    start, distributions that something else put in, took out or changed, packs that are gone or edited,
    files that two distributions overwrite, requirements that are not met, no torch, torch without CUDA on a
    machine with a card, a driver that is too old for it, models that are gone or changed.

    \b
    nodes doctor
    nodes doctor --deep --json
    nodes doctor --accept              # after you installed something into env/ yourself
    """
    host = open_host(folder)
    if accept:
        with hold(host.root, "nodes doctor --accept"):
            gens.accept(host)
    ills = look(host, deep=deep)
    if as_json:
        click.echo(json.dumps({"ills": [asdict(ill) for ill in ills]}))
    else:
        for ill in ills:
            click.echo(f"{ill.code}: {ill.what}\n    {ill.cure}")
        click.echo(f"{count(len(ills), 'ill')} found." if ills else "Nothing is wrong.")
    return Exit.BAD_INPUT if ills else Exit.OK
