"""`nodes audit`: what is installed and should not be."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from noderack_cli import generations as gens
from noderack_cli.audit import audited
from noderack_cli.exits import Exit
from noderack_cli.options import FOLDER, host_option, json_option, registry_option
from noderack_cli.show import count
from noderack_cli.trust import refreshed
from noderack_cli.where import open_host, open_registry


@click.command()
@click.option(
    "--osv",
    type=FOLDER,
    metavar="PATH",
    help="OSV data (a JSON file, a folder or a zip of them): known vulnerabilities of all distributions.",
)
@host_option
@registry_option
@json_option
def audit(osv: Path | None, folder: Path | None, registry: str | None, as_json: bool) -> int:
    """Say what is installed and was revoked, quarantined or yanked, or is known to be vulnerable.

    The registry's list of revoked files is signed; its key is kept in host.toml when it is first met. Nothing
    is changed. Exit code 5 when there is a finding.

    \b
    nodes audit
    nodes audit --osv all.zip --json
    """
    host = open_host(folder)
    now = gens.current(host)
    with open_registry(host, registry) as client:
        found = audited(now, client, refreshed(host, client, keep=True), osv)
    if as_json:
        click.echo(json.dumps({"findings": [asdict(one) for one in found]}))
        return Exit.UNRESOLVABLE if found else Exit.OK
    for one in found:
        click.echo(f"{one.name} {one.version}: {one.what}\n    {one.cure}")
    checked = f"{count(len(now.packs), 'pack')} checked" + (", and all distributions" if osv else "")
    click.echo(f"{count(len(found), 'finding')}; {checked}." if found else f"Nothing found; {checked}.")
    return Exit.UNRESOLVABLE if found else Exit.OK
