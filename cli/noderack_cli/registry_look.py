"""`nodes registry examine | verify`: looking into wheels that are published, by reading and by importing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from noderack_cli.errors import BadInput
from noderack_cli.registry import BLOBS, DATA, DATABASE, JSON, opened, settings


def _wanted(wish: str | None, everything: bool) -> str | None:
    if (wish is None) == (not everything):
        raise BadInput("Say which pack, or --all.", "nodes registry examine film-grain==1.0")
    return wish


@click.command(
    epilog="Examples:\n\n  nodes registry examine film-grain==1.0\n\n"
    "  nodes registry examine --all --data /srv/registry"
)
@click.argument("wish", metavar="[PACK[==VERSION]]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every version that today's rules have not seen.")
@DATA
@DATABASE
@BLOBS
@JSON
def examine(
    wish: str | None, everything: bool, data: Path, database: str | None, blobs: str | None, as_json: bool
) -> None:
    """Read published wheels again: findings, node types, pictures, workflows. Nothing of them is run."""
    chosen, wanted = settings(data, database, blobs), _wanted(wish, everything)
    from noderack_registry.server import again

    with opened(chosen) as registry:
        for pack, version in registry.database.reading(again.versions_to_do, wanted, everything):
            found = again.examine_again(registry, pack, version)
            errors = sum(one.level == "error" for one in found)
            if as_json:
                shown = [{k: v for k, v in asdict(one).items() if k != "edit"} for one in found]
                click.echo(json.dumps({"pack": pack, "version": version, "findings": shown}))
            else:
                click.echo(f"{pack} {version}: {len(found)} findings, {errors} errors")
