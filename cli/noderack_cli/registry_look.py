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


@click.command(
    epilog="Examples:\n\n  nodes registry verify film-grain==1.0\n\n"
    "  nodes registry verify --all --index none"
)
@click.argument("wish", metavar="[PACK[==VERSION]]", required=False)
@click.option("--all", "everything", is_flag=True, help="The latest of every pack that was not tried yet.")
@click.option(
    "--python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Python with noderack[host]; the one that runs this command unless said.",
)
@click.option(
    "--index", default="default", show_default=True, help="Where requirements come from: default, none, URL."
)
@click.option(
    "--seconds", type=click.IntRange(1, 3600), default=120, show_default=True, help="Time for each."
)
@click.option("--weak", is_flag=True, help="Go on where this machine cannot build the jail's walls.")
@DATA
@DATABASE
@BLOBS
@JSON
def verify(
    wish: str | None,
    everything: bool,
    python: Path | None,
    index: str,
    seconds: int,
    weak: bool,
    data: Path,
    database: str | None,
    blobs: str | None,
    as_json: bool,
) -> None:
    """Import published versions in a jail, and see which node types appear. Linux only.

    The pack's code runs with no network, no files but its own, no environment, and limits on memory, time and
    processes. What each wall of the jail did is part of the record.
    """
    from dataclasses import replace

    chosen, wanted = settings(data, database, blobs), _wanted(wish, everything)
    from noderack_registry.jail import Limits
    from noderack_registry.server import verdicts, verification
    from noderack_registry.server.settings import Verifying

    wishes = Verifying(python=python, index=index, weak=weak, limits=Limits(seconds=seconds))
    with opened(replace(chosen, verifying=wishes)) as registry:
        verifier = verification.verifier_of(registry)
        for pack, version in registry.database.reading(verdicts.to_do, wanted):
            outcome = verification.verify(registry, verifier, pack, version)
            if as_json:
                shown = {**asdict(outcome), "types": sorted(outcome.types)}
                click.echo(json.dumps({"pack": pack, "version": version, **shown}))
            else:
                click.echo(f"{pack} {version}: {outcome.status}: {outcome.reason}")
