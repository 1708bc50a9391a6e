"""`nodes doctor`: what is wrong with a host, and what mends it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from noderack_cli.doctor import look
from noderack_cli.exits import Exit
from noderack_cli.options import host_option, json_option
from noderack_cli.show import count
from noderack_cli.where import open_host


@click.command()
@click.option("--deep", is_flag=True, help="Read every file of the packs and compare its hash.")
@host_option
@json_option
def doctor(deep: bool, folder: Path | None, as_json: bool) -> int:
    """Look the host over and name every known ill with its cure; exit code 3 if there is one.

    \b
    nodes doctor
    nodes doctor --deep --json
    """
    ills = look(open_host(folder), deep=deep)
    if as_json:
        click.echo(json.dumps({"ills": [asdict(ill) for ill in ills]}))
    else:
        for ill in ills:
            click.echo(f"{ill.code}: {ill.what}\n    {ill.cure}")
        click.echo(f"{count(len(ills), 'ill')} found." if ills else "Nothing is wrong.")
    return Exit.BAD_INPUT if ills else Exit.OK
