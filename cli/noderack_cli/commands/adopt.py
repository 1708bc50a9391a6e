"""`nodes adopt` and `nodes snapshot import`: what another tool installed, here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from noderack_host.folder import Host

from noderack_cli import generations as gens
from noderack_cli.carry import carry_out, confirm, show_plan
from noderack_cli.errors import NotFound
from noderack_cli.existing import Found, choose, read_installation, read_snapshot
from noderack_cli.exits import Exit
from noderack_cli.options import (
    FOLDER,
    dry_run_option,
    host_option,
    json_option,
    registry_option,
    yes_option,
)
from noderack_cli.plan import Plan
from noderack_cli.progress import Progress
from noderack_cli.solving import solved
from noderack_cli.where import open_host, open_registry


@click.command()
@click.argument("installation", type=FOLDER)
@dry_run_option
@yes_option
@host_option
@registry_option
@json_option
def adopt(
    *,
    installation: Path,
    dry_run: bool,
    yes: bool,
    folder: Path | None,
    registry: str | None,
    as_json: bool,
) -> int:
    """Take over an existing INSTALLATION: its packs from the registry, its models where they are.

    Nothing in that folder is changed: its model folders (and those of its extra_model_paths.yaml) are named
    in host.toml, its packs are installed here as wheels, in the same versions where the registry has them.

    \b
    nodes adopt ~/ComfyUI --dry-run
    nodes adopt ~/ComfyUI
    """
    host = open_host(folder)
    packs, models = read_installation(installation.expanduser().resolve())
    new = tuple(path for path in models if path not in host.config.model_paths)
    if not as_json:
        named = "would be named" if dry_run else "are named"
        click.echo("\n".join(f"Models stay where they are, and {named} in host.toml: {path}" for path in new))

    def agreed() -> None:  # before the packs: one that fails is no reason to leave the models out
        if new:
            host.with_config(model_paths=(*host.config.model_paths, *new))

    return _take(host, packs, registry, Agreed(dry_run, yes, as_json), agreed)


@click.command("import")
@click.argument("file", type=FOLDER)
@dry_run_option
@yes_option
@host_option
@registry_option
@json_option
def snapshot_import(
    *,
    file: Path,
    dry_run: bool,
    yes: bool,
    folder: Path | None,
    registry: str | None,
    as_json: bool,
) -> int:
    """Install what a snapshot of the existing manager lists, in its versions where the registry has them.

    \b
    nodes snapshot import 2026-01-01_snapshot.json --dry-run
    """
    if not file.is_file():
        raise NotFound(f"{file} is not a file")
    found = read_snapshot(file.read_text("utf-8", "replace"), str(file))
    return _take(open_host(folder), found, registry, Agreed(dry_run, yes, as_json))


class Agreed:
    """What the user said beforehand."""

    def __init__(self, dry_run: bool, yes: bool, as_json: bool) -> None:
        self.dry_run, self.yes, self.as_json = dry_run, yes, as_json


def _take(
    host: Host,
    found: tuple[Found, ...],
    registry: str | None,
    agreed: Agreed,
    first: Callable[[], None] = lambda: None,
) -> int:
    """Show what installs them, and once it is agreed to do `first`, then that."""
    now = gens.current(host)
    with open_registry(host, registry) as client:
        here = {pack.name: pack.version for pack in now.packs.values()}
        packs, unknown = choose(found, client, here)
        plan = solved(host, client, Plan(packs, unknown=unknown, generation=now.number))
        show_plan(plan, as_json=agreed.as_json, nothing="No pack is there that is not here as well.")
        if agreed.dry_run:
            return Exit.OK
        if plan:
            confirm(agreed.yes or agreed.as_json)
        first()
        if not plan:
            return Exit.OK
        return carry_out(host, client, plan, Progress(agreed.as_json), wait=True)
