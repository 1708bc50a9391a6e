"""`nodes audit`: what is installed and should not be."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from noderack_host.folder import Host
from noderack_registry.client import Unreachable

from noderack_cli import generations as gens
from noderack_cli.audit import Finding, audited
from noderack_cli.exits import Exit
from noderack_cli.options import FOLDER, host_option, json_option, registry_option
from noderack_cli.revocation_watch import old
from noderack_cli.show import count
from noderack_cli.trust import refreshed, remembered
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
    is changed. Exit code 5 when there is a finding, 9 when there is none but the registry could not be asked.

    \b
    nodes audit
    nodes audit --osv all.zip --json
    """
    host = open_host(folder)
    now = gens.current(host)
    found, away = _findings(host, now, registry, osv)
    if as_json:
        told = {"registry": away} if away else {}
        click.echo(json.dumps({"findings": [asdict(one) for one in found], **told}))
    else:
        _show(found, now, away, osv)
    if found:
        return Exit.UNRESOLVABLE
    return Exit.REGISTRY if away else Exit.OK


def _findings(
    host: Host, now: gens.Generation, registry: str | None, osv: Path | None
) -> tuple[list[Finding], str]:
    """What is found, and why the registry could not be asked, empty if it was."""
    if osv is not None and not (registry or host.config.registry):
        return audited(now, None, remembered(host), osv), ""
    with open_registry(host, registry) as client:
        try:
            return audited(now, client, refreshed(host, client, keep=True), osv), ""
        except Unreachable as error:
            return audited(now, None, remembered(host), osv), f"{error}; {old(host)}"


def _show(found: list[Finding], now: gens.Generation, away: str, osv: Path | None) -> None:
    for one in found:
        click.echo(f"{one.name} {one.version}: {one.what}\n    {one.cure}")
    if away:
        click.echo(
            f"The registry could not be asked, so only the list of revoked files was: {away}.", err=True
        )
    checked = f"{count(len(now.packs), 'pack')} checked" + (", and all distributions" if osv else "")
    click.echo(f"{count(len(found), 'finding')}; {checked}." if found else f"Nothing found; {checked}.")
