"""`nodes show` and `nodes search`: what the registry knows of a pack, and what is like a word."""

from __future__ import annotations

import json
from pathlib import Path

import click
from noderack_host.folder import Host, HostError
from noderack_registry.schema import Pack

from noderack_cli.near import pack_or_near
from noderack_cli.options import host_option, json_option, registry_option
from noderack_cli.show import table
from noderack_cli.where import open_host, open_registry


@click.command()
@click.argument("pack")
@host_option
@registry_option
@json_option
def show(pack: str, folder: Path | None, registry: str | None, as_json: bool) -> None:
    """Show what the registry knows of PACK: versions, node types, what it needs.

    \b
    nodes show film-look
    """
    with open_registry(_host_or_none(folder), registry) as client:
        found = pack_or_near(client, pack)
    if as_json:
        click.echo(json.dumps(found.to_json()))
        return
    click.echo(f"{found.name} {found.latest or '(nothing to install)'}  {found.description}")
    click.echo(table(_facts(found)))


def _facts(pack: Pack) -> list[tuple[str, str]]:
    rows = [
        ("versions", ", ".join(f"{v} (yanked)" if v in pack.yanked else v for v in pack.versions)),
        ("node types", ", ".join(pack.node_types)),
        ("needs", ", ".join(pack.dependencies)),
        ("licence", pack.licence or ""),
        ("repository", pack.repository or ""),
        ("status", "" if pack.status == "active" else f"{pack.status}: {pack.status_reason}"),
    ]
    return [row for row in rows if row[1]]


@click.command()
@click.argument("words", nargs=-1, required=True)
@host_option
@registry_option
@json_option
def search(words: tuple[str, ...], folder: Path | None, registry: str | None, as_json: bool) -> None:
    """Search the registry for packs, node types and models.

    \b
    nodes search film grain
    """
    with open_registry(_host_or_none(folder), registry) as client:
        page = client.search(" ".join(words), limit=20)
    if as_json:
        click.echo(json.dumps(page.to_json()))
        return
    rows = [(hit.kind, hit.name, hit.pack or "", hit.title or hit.description[:60]) for hit in page.hits]
    click.echo(table(rows) or "Nothing found.")


def _host_or_none(folder: Path | None) -> Host | None:
    try:
        return open_host(folder)
    except HostError:
        return None
